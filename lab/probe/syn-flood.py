# SYNs from 65,536 addresses of 198.18.0.0/16 (RFC 2544), none of which answers: VIP PORT COUNT RATE
import random, socket, struct, sys, time
vip, port, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 65535) + (total >> 16)
    return ~total & 65535
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
to = socket.inet_aton(vip)
start = time.monotonic()
for i in range(count):
    source = struct.pack("!BBH", 198, 18, random.randrange(65536))
    tcp = struct.pack("!HHLLBBHHH", random.randrange(1024, 65536), port, random.randrange(2**32), 0, 5 << 4, 2, 64240, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(source + to + struct.pack("!BBH", 0, 6, 20) + tcp)) + tcp[18:]
    out.sendto(struct.pack("!BBHHHBBH4s4s", 69, 0, 40, i & 65535, 0, 64, 6, 0, source, to) + tcp, (vip, 0))
    if i % 50 == 0: time.sleep(max(0, start + i / rate - time.monotonic()))
