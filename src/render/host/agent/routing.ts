/** Shell text of the agent (agent.ts): FRR and Quagga. */

export const routing = String.raw`# --- routing ----------------------------------------------------------------------------------------------------

full_neighbours() {
  full=$(limited 10 vtysh -c "show ip ospf neighbor" 2>/dev/null | grep -c "Full/")
  case $full in ""|*[!0-9]*) full=0 ;; esac
}

# whether OSPF is to use BFD. $1: frr.conf
wants_bfd() {
  while read -r line; do [ "$line" != "ip ospf bfd" ] || return 0; done <"$1"
  return 1
}
# FRR takes the configuration without its BFD daemon too, and then notices nothing sooner.
bfdd_runs() {
  words=$(limited 10 vtysh -c "show daemons" 2>/dev/null 9>&-)
  case " $words$newline" in *" bfdd "*|*" bfdd$newline"*) return 0 ;; esac
  return 1
}

find_frr_reload() {
  for frr_reload in /usr/lib/frr/frr-reload.py /usr/lib64/frr/frr-reload.py /usr/libexec/frr/frr-reload.py; do
    [ ! -r "$frr_reload" ] || return 0
  done
  return 1
}

# what FRR runs, and a digest of that and of a file
routed_by() {
  running=$(limited 10 vtysh -c "show running-config" 2>/dev/null) || running=
  routed=$( { cat "$1"; printf "%s\n" "$running"; } | sha256sum)
}

# whether FRR runs nothing that is not in a file too, but for what it always prints. $1: frr.conf, after routed_by
runs_nothing_else() {
  # to its end, or nothing is known
  case $running in *"${'$'}{newline}end") ;; *) return 1 ;; esac
  wanted=$newline$(cat "$1")$newline
  while read -r line; do
    case $line in
      ""|!|end|"Building configuration..."|"Current configuration:"|"frr version "*|"hostname "*|"service integrated-vtysh-config") ;;
      # within a block, the same words may mean something else
      "interface "*|"router "*|"route-map "*|"vrf "*|"exit"*) return 1 ;;
      *) case $wanted in *"$newline$line$newline"*) ;; *) return 1 ;; esac ;;
    esac
  done <<END
$running
END
}

# ospfd sends with the key that it was given last, and a reload by difference gives it only what it has not: where an
# interface has two, the last of the file is given again. $1: frr.conf
give_last_keys() {
  rm -f "$run/keys"
  (umask 077; awk "
    \$1 == \"interface\" { interface = \$0; next }
    \$1 == \"exit\" { interface = \"\"; next }
    interface != \"\" && \$3 == \"message-digest-key\" { if (count[interface]++ == 0) order[++n] = interface; id[interface] = \$4; key[interface] = \$0 }
    END { for (i = 1; i <= n; i++) if (count[order[i]] > 1) print order[i] \"\\n no ip ospf message-digest-key \" id[order[i]] \"\\n\" key[order[i]] \"\\nexit\" }" "$1" >"$run/keys")
  [ -s "$run/keys" ] || { rm -f "$run/keys"; return 0; }
  words=$(limited 50 vtysh -f "$run/keys" 2>&1 9>&-)
  code=$?
  rm -f "$run/keys"
  return "$code"
}

# FRR changes by the difference that its own tool computes. That takes it seconds: it is not asked where file and running
# configuration are what they were after it was asked last, nor where the difference is the file.
load_frr() {
  routed_by "$1"
  { read -r known <"$etc/routed"; } 2>/dev/null || known=
  [ "$known" != "$routed" ] || return 0
  rm -f "$etc/routed"
  find_frr_reload || { trouble="frr-reload.py is not installed (package frr-pythontools)"; return 1; }
  if runs_nothing_else "$1"; then tool="vtysh -f" words=$(limited 50 vtysh -f "$1" 2>&1 9>&-)
  else tool=frr-reload.py words=$(limited 50 python3 "$frr_reload" --reload --stdout "$1" 2>&1 9>&-)
  fi
  code=$?
  [ "$code" != 0 ] || case $words in *"Failed to execute"*|*"failed due to"*) code=1 ;; esac
  if [ "$code" = 0 ]; then tool="vtysh -f"; give_last_keys "$1"; code=$?; fi
  [ "$code" = 0 ] || trouble="$tool: $(one_line "$(printf "%s\n" "$words" | grep -iE "error|fail|unknown|refused" | tail -n 5 | sed "s/ md5 [^ ]*/ md5 ***/g")") (code $code)"
  if [ "$code" = 0 ]; then
    routed_by "$1"
    put routed "$routed"
  fi
  return "$code"
}

# Quagga reads its files at its start only. VIPs are withdrawn meanwhile.
restart_quagga() {
  held=no
  if [ ! -e "$etc/drain" ]; then held=yes; put drain "routing $(date +%s) ospfd is restarted"; fi
  reconcile "$1"
  sleep 2
  rc=0
  for daemon in zebra ospfd; do
    if [ -d /run/systemd/system ]; then words=$(limited 30 systemctl restart "$daemon" 2>&1 9>&-) || rc=1
    elif [ -x "/etc/init.d/$daemon" ]; then words=$(limited 30 "/etc/init.d/$daemon" restart 2>&1 </dev/null 9>&-) || rc=1
    else words="there is neither systemd nor /etc/init.d/$daemon" rc=1
    fi
    [ "$rc" = 0 ] || break
  done
  [ "$held" = no ] || rm -f "$etc/drain"
  reconcile "$1"
  [ "$rc" = 0 ] || trouble="$daemon cannot be restarted: $words"
  return "$rc"
}

`;
