/**
 * OSPF keys between real daemons: FRR's zebra and ospfd as an LB, configured as activation does it, and as its router,
 * in networks of their own. What they say of each other is waited for, whatever time it takes them.
 */
import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCell } from '../lab/cell.ts';
import type { Cell } from '../lab/cell.ts';
import { waitFor } from '../lab/lab.ts';
import type { Cluster, Lb } from '../src/domain/edge/model.ts';
import { agentFile } from '../src/render/host/agent.ts';
import { hasFrr } from '../src/render/testing/real-tools.ts';
import { frrFiles } from '../src/render/routing/frr.ts';
import { ospfKeysOf } from '../src/render/routing/ospf.ts';

const reason = hasFrr ? undefined : 'no FRR here, or not root; Debian: frr, frr-pythontools';
if (reason !== undefined) console.warn(`left out: OSPF keys between real daemons: ${reason}`);

/** What takes long is part of `npm run soak:lab` alone. */
const soak = process.env['WEIR_SOAK'] !== undefined;
const frr = '/usr/lib/frr';
/**
 * FRR 8.4.4 takes packets with the key that it sends with and no others, whatever keys it has. Newer ones look a key up
 * by its ID, as their source says (ospf_auth.c).
 */
const acceptsAll = Number(/version (\d+)\./.exec(versionOf())?.[1] ?? 0) >= 10;
/** Seconds. */
const HELLO = 1;
/** Soon lost. */
const SHORT = 4;
/** Time enough to change both ends, one after the other. */
const LONG = 20;
const patience = { timeoutMs: 90_000, everyMs: 100 };

function versionOf(): string {
  return reason === undefined ? spawnSync(join(frr, 'ospfd'), ['--version'], { encoding: 'utf8' }).stdout : '';
}

type Name = 'lb' | 'router';
const addresses: Record<Name, string> = { lb: '10.77.0.2', router: '10.77.0.1' };

const lb: Lb = {
  hostname: 'lb1.room1',
  routerid: addresses.lb,
  internalip: addresses.lb,
  internalnetmask: '255.255.255.0',
  internalgateway: addresses.router,
  ospfnet: '10.77.0.0/24',
};

/** The keys are in the clear. */
function documentOf(ospf: Cluster['ospf']): Cluster {
  return {
    name: 'a',
    type: 'internal',
    device: 'uplink',
    dataplane: 'ipvs',
    vipnets: ['10.50.0.0/24'],
    ospf: { hello: HELLO, ...ospf },
    lbinfos: [lb],
    vip2ws: [],
  };
}

interface Neighbour {
  full: boolean;
  /** State changes since it was first heard of; it is forgotten when it is lost. */
  changes: number;
  /** ms until it is given up, as of `asked` or a little later. */
  due: number;
  /** ms of this machine. */
  asked: number;
}

interface Daemons {
  /** What it knows of the other end; undefined: nothing. */
  neighbour(): Promise<Neighbour | undefined>;
  vtysh(...commands: string[]): Promise<string>;
  /** Loads frr.conf as activation does: by the difference that frr-reload.py computes. */
  reload(text: string): Promise<void>;
  /** Ends ospfd and starts it again with frr.conf as it lies there. */
  restart(): Promise<void>;
}

async function startDaemons(cell: Cell, folder: string, name: Name): Promise<Daemons> {
  const own = join(folder, name);
  const file = join(own, 'frr.conf');
  const [uid = 0, gid = 0] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number(await cell.must(name, ['id', flag, 'frr']))),
  );
  mkdirSync(own, { mode: 0o755 });
  chownSync(own, uid, gid);
  for (const empty of ['none', 'vtysh.conf']) writeFileSync(join(own, empty), '');
  const start = (daemon: string) => {
    const files = ['-f', join(own, 'none'), '-i', join(own, `${daemon}.pid`), '-z', join(own, 'zserv.api')];
    return cell.must(name, [join(frr, daemon), '-d', '-P', '0', ...files, '--vty_socket', own]);
  };
  const vtysh = (...args: string[]) => cell.must(name, ['vtysh', '--vty_socket', own, '--config_dir', own, ...args]);
  await start('zebra');
  await start('ospfd');

  return {
    async neighbour() {
      const asked = Date.now();
      const answer = JSON.parse(await vtysh('-c', 'show ip ospf neighbor detail json')) as Detail;
      const [found] = Object.values(answer.neighbors)[0] ?? [];
      if (!found) return undefined;
      return {
        full: found.nbrState.startsWith('Full'),
        changes: found.stateChangeCounter,
        due: found.routerDeadIntervalTimerDueMsec,
        asked,
      };
    },
    vtysh: (...commands) => vtysh(...commands.flatMap((command) => ['-c', command])),
    async reload(text) {
      writeFileSync(file, text, { mode: 0o640 });
      chownSync(file, uid, gid);
      const places = ['--vty_socket', own, '--confdir', own, '--rundir', own];
      const said = await cell.must(name, [
        'python3',
        join(frr, 'frr-reload.py'),
        '--reload',
        '--stdout',
        ...places,
        file,
      ]);
      expect(said).not.toMatch(/Failed to execute|failed due to/);
      await cell.must(name, ['sh', '-c', lastKeys, 'sh', own, file]);
    },
    async restart() {
      const pid = (await cell.must(name, ['cat', join(own, 'ospfd.pid')])).trim();
      await cell.must(name, ['kill', pid]);
      await waitFor('the end of ospfd', async () => (await cell.run(name, ['kill', '-0', pid])).code !== 0, patience);
      await start('ospfd');
      await vtysh('-b');
    },
  };
}

/** What the agent does after such a reload. */
const lastKeys = `run=$1
limited() { shift; "$@"; }
vtysh() { command vtysh --vty_socket "$run" --config_dir "$run" "$@"; }
${/^give_last_keys\(\) \{\n[^]*?\n\}\n/m.exec(agentFile.text())?.[0]}
give_last_keys "$2" || { echo "$words" >&2; exit 1; }`;

interface Detail {
  neighbors: Record<string, { nbrState: string; stateChangeCounter: number; routerDeadIntervalTimerDueMsec: number }[]>;
}

/**
 * Makes of a router with one key one that changes keys as Cisco IOS does: it sends everything once with each key, and
 * takes either (RFC 2328, D.4.3, says how a digest is made).
 */
const rollover = String.raw`
import hashlib, select, socket, sys
old, new = (int(sys.argv[1]), sys.argv[2]), (int(sys.argv[3]), sys.argv[4])
def port(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
    s.bind((name, 0))
    return s
lb, router = port('to-lb'), port('to-router')
def digest(packet, key):
    return hashlib.md5(packet + key.encode().ljust(16, b'\0')).digest()
# the frame as one with the other key, where it is OSPF and rightly made with the first
def signed(frame, was, key):
    at = 14 + (frame[14] & 15) * 4
    if frame[12:14] != b'\x08\x00' or frame[23] != 89 or frame[at + 14:at + 16] != b'\0\2' or frame[at + 18] != was[0]:
        return None
    end = at + int.from_bytes(frame[at + 2:at + 4], 'big')
    if frame[end:end + 16] != digest(frame[at:end], was[1]):
        return None
    packet = frame[at:at + 18] + bytes([key[0]]) + frame[at + 19:end]
    return frame[:at] + packet + digest(packet, key[1]) + frame[end + 16:]
while True:
    for source in select.select([lb, router], [], [])[0]:
        frame, sender = source.recvfrom(65535)
        if sender[2] == socket.PACKET_OUTGOING:
            continue
        if source is lb:
            router.send(signed(frame, new, old) or frame)
        else:
            lb.send(frame)
            copy = signed(frame, old, new)
            if copy:
                lb.send(copy)
`;

describe.skipIf(reason !== undefined)(
  `OSPF keys between real daemons${reason ? ` (left out: ${reason})` : ''}`,
  { timeout: 300_000 },
  () => {
    let folder: string;
    let cell: Cell;
    let ends: Record<Name, Daemons>;
    /** Seconds. */
    let dead: number;

    beforeEach(async () => {
      dead = SHORT;
      folder = mkdtempSync(join(tmpdir(), 'weir-keys-'));
      mkdirSync(join(folder, 'ends'), { mode: 0o755 });
      cell = await openCell(folder, ['lb', 'relay', 'router']);
      // FRR's daemons leave folders there.
      await cell.must('lb', ['mount', '-t', 'tmpfs', '-o', 'mode=1777', 'weir-keys', '/var/tmp']);
      await cell.must('lb', ['install', '-d', '-o', 'frr', '-g', 'frr', '/var/tmp/frr']);
      await cell.must('lb', ['chmod', '0755', folder]);
    }, 60_000);
    afterEach(async () => {
      await cell?.close();
      rmSync(folder, { recursive: true, force: true });
    }, 90_000);

    /** A wire between both ends, or one through a program that changes what passes. */
    async function connect(through?: readonly string[]): Promise<void> {
      const add = ([end, name]: [string, string], [other, otherName]: [string, string]) => {
        const peer = ['peer', 'name', otherName, 'netns', cell.networkPath(other)];
        return cell.must(end, ['ip', 'link', 'add', name, 'type', 'veth', ...peer]);
      };
      if (through) {
        await add(['lb', 'uplink'], ['relay', 'to-lb']);
        await add(['relay', 'to-router'], ['router', 'uplink']);
        for (const name of ['to-lb', 'to-router']) await cell.must('relay', ['ip', 'link', 'set', name, 'up']);
        cell.spawn('relay', through, 'ignore');
      } else await add(['lb', 'uplink'], ['router', 'uplink']);
      for (const name of ['lb', 'router'] as const) {
        await cell.must(name, ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=0']);
        await cell.must(name, ['ip', 'addr', 'add', `${addresses[name]}/24`, 'dev', 'uplink']);
        await cell.must(name, ['ip', 'link', 'set', 'uplink', 'up']);
      }
      const at = join(folder, 'ends');
      ends = { lb: await startDaemons(cell, at, 'lb'), router: await startDaemons(cell, at, 'router') };
    }

    /** Brings an LB to a document, as its next activation would. */
    function activate(ospf: Cluster['ospf']): Promise<void> {
      const cluster = documentOf({ dead, ...ospf });
      const [file] = frrFiles({ cluster, lb, lips: [], keys: ospfKeysOf(cluster) });
      return ends.lb.reload(file?.text() ?? '');
    }

    async function startRouter(keys: [number, string][], through?: readonly string[]): Promise<void> {
      await connect(through);
      await ends.router.vtysh(
        'configure terminal',
        'interface uplink',
        'ip ospf authentication message-digest',
        ...keys.map(([id, key]) => `ip ospf message-digest-key ${id} md5 ${key}`),
        `ip ospf hello-interval ${HELLO}`,
        `ip ospf dead-interval ${dead}`,
        'ip ospf priority 100',
        'exit',
        'router ospf',
        `ospf router-id ${addresses.router}`,
        'network 10.77.0.0/24 area 0',
      );
    }
    const onRouter = (...commands: string[]) =>
      ends.router.vtysh('configure terminal', 'interface uplink', ...commands);

    async function both(): Promise<(Neighbour | undefined)[]> {
      return [await ends.lb.neighbour(), await ends.router.neighbour()];
    }

    /** Resolves to the state changes of both ends when each is full at the other. */
    function untilFull(): Promise<number[]> {
      return waitFor(
        'full neighbours',
        async () => {
          const seen = await both();
          return seen.every((end) => end?.full) && seen.map((end) => end?.changes ?? -1);
        },
        patience,
      );
    }

    /** Both ends have taken hellos that came after now, and nothing happened to either since `changes`. */
    async function expectKept(changes: readonly number[], what: string): Promise<void> {
      const now = Date.now();
      await waitFor(
        `hellos after: ${what}`,
        async () => {
          const seen = await both();
          return seen.every((end) => !end?.full || end.asked + end.due - dead * 1000 > now);
        },
        patience,
      );
      const seen = await both();
      expect({ what, seen: seen.map((end) => end && { full: end.full, changes: end.changes }) }).toEqual({
        what,
        seen: changes.map((count) => ({ full: true, changes: count })),
      });
    }

    const untilLost = () =>
      waitFor('the loss of the neighbour', async () => (await both()).every((end) => !end?.full), patience);

    test.runIf(soak)(
      'change without the loss of a neighbour where both ends change within the dead interval',
      async () => {
        // FRR prints the new one before the old one.
        const [old, next] = [9, 10];
        dead = LONG;
        await startRouter([[old, 'OldKey']]);
        await activate({ key: 'OldKey', keyid: old });
        const changes = await untilFull();
        await activate({ key: 'NewKey', keyid: next, oldkey: 'OldKey', oldkeyid: old });
        await onRouter(`ip ospf message-digest-key ${next} md5 NewKey`, `no ip ospf message-digest-key ${old}`);
        await expectKept(changes, 'both have changed');
        await activate({ key: 'NewKey', keyid: next });
        await expectKept(changes, 'the LB has the new key only');
      },
    );

    /** A router with FRR sends with its last key: the old one, until the LBs have the new one. */
    const addBeforeOld = () =>
      onRouter(
        'no ip ospf message-digest-key 8',
        'ip ospf message-digest-key 9 md5 NewKey',
        'ip ospf message-digest-key 8 md5 OldKey',
      );

    test.runIf(acceptsAll)('change step by step without the loss of a neighbour', async () => {
      await startRouter([[8, 'OldKey']]);
      await activate({ key: 'OldKey' });
      const changes = await untilFull();
      await addBeforeOld();
      await expectKept(changes, 'the router has both keys');
      await activate({ key: 'NewKey', keyid: 9, oldkey: 'OldKey', oldkeyid: 8 });
      await expectKept(changes, 'the LB has both keys');
      await onRouter('no ip ospf message-digest-key 8');
      await expectKept(changes, 'the router has the new key only');
      await activate({ key: 'NewKey', keyid: 9 });
      await expectKept(changes, 'the LB has the new key only');
    });

    test('change step by step without the loss of a neighbour where the router sends with each of its keys', async () => {
      // The router's own key is the old one all the time: what passes makes it one that has both.
      await startRouter([[8, 'OldKey']], ['python3', '-c', rollover, '8', 'OldKey', '9', 'NewKey']);
      await activate({ key: 'OldKey' });
      const changes = await untilFull();
      await activate({ key: 'NewKey', keyid: 9, oldkey: 'OldKey', oldkeyid: 8 });
      await expectKept(changes, 'the LB has both keys');
      await activate({ key: 'NewKey', keyid: 9 });
      await expectKept(changes, 'the LB has the new key only');
      // And not since keys were no matter.
      await activate({ key: 'AnotherKey', keyid: 9 });
      await untilLost();
    });

    test.runIf(!acceptsAll)(
      'are accepted only as they are sent: with both keys on both ends, the last ones count',
      async () => {
        await startRouter([[8, 'OldKey']]);
        await activate({ key: 'OldKey' });
        const changes = await untilFull();
        await addBeforeOld();
        await expectKept(changes, 'the router has both keys, the old one last');
        await activate({ key: 'NewKey', keyid: 9, oldkey: 'OldKey', oldkeyid: 8 });
        await untilLost();
        await onRouter('no ip ospf message-digest-key 8');
        await untilFull();
      },
    );

    test('lose the neighbour in one step, until the router has made it too', async () => {
      await startRouter([[8, 'OldKey']]);
      await activate({ key: 'OldKey' });
      await untilFull();
      await activate({ key: 'NewKey', keyid: 9 });
      await untilLost();
      await onRouter('no ip ospf message-digest-key 8', 'ip ospf message-digest-key 9 md5 NewKey');
      await untilFull();
    });

    test.runIf(soak)(
      'are sent as the file says after a restart too, though FRR prints them in another order',
      async () => {
        await startRouter([[10, 'NewKey']]);
        await activate({ key: 'NewKey', keyid: 10, oldkey: 'OldKey', oldkeyid: 9 });
        await untilFull();
        const printed = (await ends.lb.vtysh('show running-config')).match(/message-digest-key \d+/g);
        expect(printed).toEqual(['message-digest-key 10', 'message-digest-key 9']);
        await ends.lb.restart();
        await waitFor(
          'the loss of what was there before',
          async () => (await ends.lb.neighbour())?.full !== true,
          patience,
        );
        await untilFull();
      },
    );

    test('are sent as the document says where the old one comes back too, as when the last step is undone', async () => {
      // A reload by difference adds the old one last, and ospfd sends with it, until the agent gives it the other again.
      dead = LONG;
      await startRouter([[9, 'NewKey']]);
      await activate({ key: 'NewKey', keyid: 9 });
      const changes = await untilFull();
      await activate({ key: 'NewKey', keyid: 9, oldkey: 'OldKey', oldkeyid: 8 });
      await expectKept(changes, 'the LB has the old key again');
    });
  },
);
