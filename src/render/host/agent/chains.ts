/** Shell text of the agent (agent.ts): chains of iptables. */

export const chains = String.raw`# --- chains of iptables -------------------------------------------------------------------------------------------

# Makes our chains be those of a file, by the iptables that can: Debian's is the one of nftables, which not every kernel
# has for what the rules need; the legacy one then. What it had of ours before the other one could goes.
load_chains() {
  loader=
  for iptables in iptables iptables-legacy; do
    saver=$(command -v "$iptables-save" 2>/dev/null) || continue
    if [ -z "$loader" ]; then
      if chains_as "$1"; then loader=$saver trouble=; else trouble=${'$'}{trouble:-$words}; fi
      continue
    fi
    line=
    { read -r line </proc/net/ip_tables_names; } 2>/dev/null
    if [ -n "$line" ] && ! [ "$saver" -ef "$loader" ]; then chains_as /dev/null || warn "$words"; fi
  done
  [ -n "$loader" ] || trouble=${'$'}{trouble:-iptables is not installed (package iptables)}
  [ -n "$loader" ]
}

# Makes our chains, WEIR-* in any table, and the jumps into them what a file of rules declares, and nothing else: WEIR-NAME
# is jumped to from the chain NAME of the kernel, first of all from INPUT of filter, where others may refuse; the rest is
# reached from ours. Each table changes in one step, in which all that is new is there when the old goes. Rules and chains
# of others are not touched. $1: the file. Sets words.
chains_as() {
  # what it says beside the rules is kept apart: it comes in the middle of a line (nft's, where legacy tables are)
  words=$(limited 20 "$iptables-save" 2>"$run/iptables.said") || { words="$iptables-save: $(cat "$run/iptables.said")"; return 1; }
  printf "%s\n" "$words" | awk -v file="$1" "
    function builtin(name) { return name ~ /^WEIR-(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)\$/ }
    function jump(t, from, to,  rule, n, first) {
      rule = from \" -j \" to
      n = plain[t, rule] + 0
      first = t == \"filter\" && from == \"INPUT\"
      if (n == 1 && !(first && top[t, from] != rule)) return
      for (; n > (first ? 0 : 1); n--) print \"-D \" rule
      if (first) print \"-I \" from \" 1 -j \" to
      else if (n == 0) print \"-A \" rule
    }
    function finish(t,  i, word) {
      for (i = 1; i <= declared; i++) {
        if (builtin(declares[i])) jump(t, substr(declares[i], 6), declares[i])
        # releases of before have one for both
        else if (t == \"raw\" && declares[i] == \"WEIR-RAW\") { jump(t, \"PREROUTING\", \"WEIR-RAW\"); jump(t, \"OUTPUT\", \"WEIR-RAW\") }
      }
      for (i = 1; i <= jumps; i++) if (jumptable[i] == t && !((t, jumpto[i]) in wanted)) print \"-D\" substr(jumprule[i], 3)
      for (word = 1; word <= 2; word++)
        for (i = 1; i <= chains; i++) if (chaintable[i] == t && !((t, chain[i]) in wanted)) print (word == 1 ? \"-F \" : \"-X \") chain[i]
      declared = 0
      finished[t] = 1
    }
    /^\*/ { table = substr(\$1, 2); next }
    /^:WEIR-/ { chains++; chain[chains] = substr(\$1, 2); chaintable[chains] = table; next }
    \$1 == \"-A\" {
      if (!((table, \$2) in top)) top[table, \$2] = substr(\$0, 4)
      if (\$NF !~ /^WEIR-/ || \$2 ~ /^WEIR-/ || (\$(NF - 1) != \"-j\" && \$(NF - 1) != \"-g\")) next
      plain[table, substr(\$0, 4)]++
      jumps++; jumprule[jumps] = \$0; jumptable[jumps] = table; jumpto[jumps] = \$NF
    }
    END {
      while ((getline line <file) > 0) {
        if (line ~ /^COMMIT/) finish(t)
        print line
        if (line ~ /^\*/) t = substr(line, 2)
        if (line ~ /^:WEIR-/) { split(line, f, \" \"); declares[++declared] = substr(f[1], 2); wanted[t, declares[declared]] = 1 }
      }
      for (i = 1; i <= chains; i++) {
        t = chaintable[i]
        if (t in finished) continue
        print \"*\" t
        finish(t)
        print \"COMMIT\"
      }
    }" >"$run/iptables" || { words="cannot write $run/iptables"; return 1; }
  [ -s "$run/iptables" ] || return 0
  words=$("$iptables-restore" -w 10 --noflush <"$run/iptables" 2>&1) || { words="$iptables-restore: $words"; return 1; }
}

`;
