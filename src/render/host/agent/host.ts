/** Shell text of the agent (agent.ts): host settings: modules, sysctls, LIPs. */

export const host = String.raw`# --- host settings ----------------------------------------------------------------------------------------------

sysctl_path() {
  key=$1 path=/proc/sys
  oldifs=$IFS; IFS=.
  set -- $1
  IFS=$oldifs
  for part; do path=$path/$part; done
}

# whether to do the rest in spite of trouble. $1: as apply_host has it
goes_on() { faults=${'$'}{faults:+$faults; }$trouble; [ "$1" = on ] && trouble=; }

# Puts the host settings of a release in place; what was there before is kept. Sets trouble. $2: "on" where nobody goes back
# from a fault: the rest is done too
apply_host() {
  trouble= faults=
  if [ -r "$1/host/announce.conf" ]; then
    cmp -s "$1/host/announce.conf" "$etc/announce.conf" || { cp "$1/host/announce.conf" "$etc/announce.conf.new" && mv -f "$etc/announce.conf.new" "$etc/announce.conf"; } ||
      { trouble="cannot write $etc/announce.conf"; goes_on "${'$'}{2:-}" || return 1; }
  elif [ -e "$etc/announce.conf" ]; then rm -f "$etc/announce.conf"
  fi
  if [ -r "$1/host/modules" ]; then
    while read -r module options; do
      name=$module
      case $module in *-*) name=$(printf %s "$module" | tr - _) ;; esac
      [ -n "$module" ] && [ ! -d "/sys/module/$name" ] || continue
      # what of it is really missing shows where it is used
      words=$(modprobe "$module" $options 2>&1) || [ -d "/sys/module/$name" ] || warn "modprobe $module: $(one_line "$words")"
    done <"$1/host/modules"
  fi
  kept=" "
  [ ! -r "$etc/sysctl.before" ] || while read -r key _; do kept="$kept$key "; done <"$etc/sysctl.before"
  if [ -r "$1/host/sysctl.conf" ]; then
    # in one process, and not by "read": a shell reads byte by byte, and the kernel gives only the first of a sysctl
    wanted=$(awk "
      \$1 !~ /^#/ && \$2 == \"=\" {
        path = \$1
        gsub(/\\./, \"/\", path)
        was = \"\"
        if ((getline was <(\"/proc/sys/\" path)) <= 0) { print \"missing\", \$1; next }
        close(\"/proc/sys/\" path)
        want = \$0
        sub(/^[^=]*= */, \"\", want)
        gsub(/[ \\t]+/, \" \", was)
        if (was != want) print \"set\", \$1, path, was \"=\" want
      }" "$1/host/sysctl.conf") || { trouble="sysctl: awk failed"; return 1; }
    printf "%s\n" "$wanted" >"$run/sysctls" || { trouble="cannot write $run"; return 1; }
    while read -r what key path values; do
      case $what in
        missing) trouble="sysctl $key: this kernel does not have it" ;;
        set)
          case $kept in *" $key "*) ;; *) printf "%s = %s\n" "$key" "${'$'}{values%%=*}" >>"$etc/sysctl.before"; kept="$kept$key " ;; esac
          { printf "%s\n" "${'$'}{values#*=}" >"/proc/sys/$path"; } 2>/dev/null || trouble="sysctl $key = ${'$'}{values#*=}: refused by the kernel"
          ;;
      esac
    done <"$run/sysctls"
    [ -z "$trouble" ] || goes_on "${'$'}{2:-}" || return 1
  fi
  if [ -s "$1/host/addresses" ]; then
    # what this puts on an interface, and only that, may be taken away again later
    there=$(ip -o addr show) || { trouble="ip addr show failed"; return 1; }
    printf "%s\n" "$there" | awk -v added="$etc/added" "
      FILENAME == \"-\" { there[\$4] = 1; next }
      \$1 == \"addr\" && !(\$3 in there) { print \$3, \$5 >>added }" - "$1/host/addresses"
    words=$(ip ${'$'}{2:+-force} -batch "$1/host/addresses" 2>&1) || { trouble="LIPs: $words"; goes_on "${'$'}{2:-}" || return 1; }
  fi
  if [ -r "$1/host/iptables" ]; then load_chains "$1/host/iptables" || goes_on "${'$'}{2:-}" || return 1; fi
  trouble=$faults
  [ -z "$trouble" ]
}

# Takes away what releases put on the machine and this one, or none, does not want. $1: the last one, or nothing; $2: to,
# or nothing
remove_host() {
  old=$1 new=$2
  if [ -s "$etc/added" ]; then
    wanted=/dev/null
    if [ -n "$new" ] && [ -r "$new/host/addresses" ]; then wanted=$new/host/addresses; fi
    awk -v wanted="$wanted" "
      BEGIN { while ((getline line <wanted) > 0) { split(line, f, \" \"); keep[f[3], f[5]] = 1 } }
      { print ((\$1, \$2) in keep ? \"keep \" : \"addr del \") \$1 \" dev \" \$2 }" "$etc/added" >"$run/lips"
    sed -n "s/^addr del/&/p" "$run/lips" | ip -force -batch - 2>/dev/null
    sed -n "s/^keep \(.*\) dev /\1 /p" "$run/lips" | sort -u >"$etc/added.new" && mv -f "$etc/added.new" "$etc/added"
  fi
  if [ -r "$old/host/sysctl.conf" ] && [ -r "$etc/sysctl.before" ]; then
    stays=" "
    if [ -n "$new" ] && [ -r "$new/host/sysctl.conf" ]; then while read -r key _; do stays="$stays$key "; done <"$new/host/sysctl.conf"; fi
    # what is put back is no longer ours: put back once more, it would undo what somebody set since
    rest=all
    while read -r key equals value; do
      case $stays in *" $key "*) say "$key = $value" || rest=cut; continue ;; esac
      sysctl_path "$key"
      { printf "%s\n" "$value" >"$path"; } 2>/dev/null
    done <"$etc/sysctl.before" >"$etc/sysctl.before.new"
    if [ "$rest" = all ]; then mv -f "$etc/sysctl.before.new" "$etc/sysctl.before"; fi
  fi
  if [ -r "$old/host/iptables" ] && { [ -z "$new" ] || [ ! -r "$new/host/iptables" ]; }; then
    for iptables in iptables iptables-legacy; do
      if command -v "$iptables-save" >/dev/null 2>&1; then chains_as /dev/null || warn "$words"; fi
    done
  fi
  if [ -z "$new" ]; then rm -f "$etc/added" "$etc/sysctl.before"; fi
  return 0
}

`;
