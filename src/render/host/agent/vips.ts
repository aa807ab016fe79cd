/** Shell text of the agent (agent.ts): VIPs: announcing and withdrawing them. */

export const vips = String.raw`# --- VIPs -------------------------------------------------------------------------------------------------------

# Makes the VIPs of a release be where the IPVS table says. $1: its folder.
reconcile() {
  read_manifest "$1" || return 0
  [ -x "$etc/bin/$m_helper" ] || return 0
  vips_of "$1" | WEIR_IPVS=$table "$etc/bin/$m_helper" - 9>&-
}

# Sees to the VIPs that one release has and another has not. $1: the one, $2: the other
settle_gone() {
  [ -n "$1" ] && [ "$1" != "$2" ] && read_manifest "$1" && [ -x "$etc/bin/$m_helper" ] || return 0
  vips_of "$1" | while read -r vip words; do
    [ -e "$2/keepalived/vips/$vip.conf" ] || say "$vip $words"
  done | WEIR_IPVS=$table "$etc/bin/$m_helper" - 9>&-
}

# VIPs of ours that are announced, with the interface: lo, weir-high, or with dpvs that of its device; one a line
announced() {
  { all_vips; echo; ip -o addr show 2>/dev/null; } | awk "
    !listed && NF == 0 { listed = 1; next }
    !listed { ours[\$1] = 1; next }
    { sub(/@.*/, \"\", \$2); split(\$4, a, \"/\") }
    (\$2 == \"lo\" || \$2 == \"weir-high\" || \$2 ~ /\.kni\$/) && a[2] == 32 && a[1] in ours { print a[1], \$2 }"
}

# VIPs of ours that DPVS has, as "VIP/32 DEVICE". $1: a file with all VIPs
in_dpdk() {
  limited 10 dpip addr show 2>/dev/null | awk -v list="$1" "
    BEGIN { while ((getline line <list) > 0) ours[line \"/32\"] = 1 }
    \$3 == \"scope\" && \$2 in ours { print \$2, \$5 }"
}
# Does one thing to each of such lines; what is so already is no fault. $1: add or del
dpdk_all() { limited 60 sh -c "while read -r vip device; do dpip addr $1 \"\$vip\" dev \"\$device\" >/dev/null 2>&1 </dev/null; done"; }

# the addresses of all_vips in a file, so that nothing has to be looked up when it matters
list_vips() { [ -e "$run/vips" ] && [ ! "$etc/releases" -nt "$run/vips" ] || all_vips >"$run/vips"; }

# Whether somebody looks after the VIPs: keepalived, and with dpvs what serves them. After an undo of the first activation
# announce.conf is still there, for the last calls of the release, and what serves the VIPs is not ours to judge.
looked_after() { find_keepalived && dpvs_serves; }
dpvs_serves() { ! find_plane || [ ! -L "$etc/active" ] || dpvs_runs; }

# Takes every VIP off, if nobody looks after them. In few processes: seconds count. In DPVS after the kernel.
withdraw() {
  [ -d "$run" ] || mkdir -p "$run"
  list_vips
  exec 7>"$run/announce.lock" || return 1
  flock 7 || return 1
  if ! looked_after; then
    ip -o addr show 2>/dev/null | awk -v list="$run/vips" "
      BEGIN { while ((getline line <list) > 0) ours[line \"/32\"] = 1 }
      { sub(/@.*/, \"\", \$2) }
      (\$2 == \"lo\" || \$2 == \"weir-high\" || \$2 ~ /\.kni\$/) && \$4 in ours { print \"addr del\", \$4, \"dev\", \$2 }" | ip -force -batch -
    if find_plane && dpvs_runs; then in_dpdk "$run/vips" | dpdk_all del; fi
  fi
  exec 7>&-
}

`;
