/** Shell text of the agent (agent.ts): what serves the VIPs: the kernel, or DPVS, which may end by itself. */

export const dataplane = String.raw`# --- data plane -------------------------------------------------------------------------------------------------

# The data plane that VIPs are announced by, and with dpvs its device: what the announce script goes by.
find_plane() {
  plane=ipvs device=
  { read -r plane device _ <"$etc/announce.conf"; } 2>/dev/null
  [ "$plane" = dpvs ]
}

is_dpvs() { read_stat "/proc/$1/stat" && [ "$comm" = dpvs ] && [ "$state" != Z ] && [ "$state" != X ]; }
# whether DPVS runs; it is looked for only where it is not the process that it was
dpvs_runs() {
  if is_dpvs "$dpvs"; then return 0; fi
  for file in /proc/[0-9]*/stat; do
    dpvs=${'$'}{file#/proc/}
    dpvs=${'$'}{dpvs%/stat}
    if is_dpvs "$dpvs"; then return 0; fi
  done
  dpvs=none
  return 1
}

# Names a file that has the table of services, in the form of /proc/net/ip_vs. DPVS has its own, in what people read. What
# is no service of ours ends the one before it.
read_table() {
  services=$table
  find_plane || return 0
  services=$run/ip_vs
  words=$(limited 10 ipvsadm -Ln 2>&1) || { trouble="DPVS: ipvsadm: ${'$'}{words##*"$newline"}"; return 1; }
  printf "%s\n" "$words" | awk "
    function hex(at, part) {
      if (at !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+:[0-9]+\$/) return at
      split(at, part, /[.:]/)
      return sprintf(\"%02X%02X%02X%02X:%04X\", part[1], part[2], part[3], part[4], part[5])
    }
    \$1 == \"->\" { \$2 = hex(\$2); print \"  \" \$0; next }
    \$1 == \"TCP\" || \$1 == \"UDP\" || \$1 == \"SCTP\" { \$2 = hex(\$2); print; next }
    { print \"FWM 0\" }" >"$services.new" && mv -f "$services.new" "$services" || { trouble="cannot write $services"; return 1; }
}

# what this machine has to have for dpvs. $1: the device
check_dpvs() {
  trouble=
  command -v dpip >/dev/null 2>&1 || { trouble="dpip of DPVS is not installed on this machine"; return 1; }
  program=$(command -v ipvsadm) || { trouble="ipvsadm of DPVS is not installed on this machine"; return 1; }
  # Only DPVS's has words for LIPs. It is read first: that of the kernel loads the module of IPVS, whatever it is asked. A
  # script may call any.
  { read -r line <"$program"; } 2>/dev/null || line=
  case $line in
    "#!"*) ;;
    *) grep -q laddr "$program" || { trouble="$program is not the ipvsadm of DPVS"; return 1; } ;;
  esac
  words=$(limited 10 ipvsadm -Ln 2>&1) || { trouble="DPVS does not answer: ipvsadm: ${'$'}{words##*"$newline"}"; return 1; }
  words=$(ip -o link show dev "$1.kni" 2>&1) || { trouble="DPVS has no interface $1.kni in the kernel, which OSPF needs: $(one_line "$words")"; return 1; }
}

`;
