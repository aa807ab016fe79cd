/** Shell text of the agent (agent.ts): the watch over keepalived and DPVS, and the units of systemd. */

export const watch = String.raw`watch() {
  mkdir -p "$run"
  exec 8>"$run/watch.lock" || exit 1
  flock -n 8 || exit 0
  me=$(readlink -f "$0")
  guarding=none
  find_keepalived
  while :; do
    # nothing is left of it: another watcher, or none, goes on
    [ -x "$self" ] || exit 0
    [ "$self" -ef "$me" ] || exec "$self" watch
    if [ "$keepalived" = none ] || ! is_keepalived "$keepalived"; then
      if ! find_keepalived; then withdraw; fi
    elif ! dpvs_serves; then withdraw
    fi
    list_vips
    # a second guard does no harm, and the first may have been killed
    line=
    [ ! -e "$etc/activating" ] || { read -r line <"$etc/activating"; } 2>/dev/null
    if [ -n "$line" ] && ! kill -0 "$guarding" 2>/dev/null; then
      setsid "$self" guard "$line" </dev/null >/dev/null 2>&1 8>&- &
      guarding=$!
    fi
    sleep 1
  done
}

# Sees to it that VIPs leave lo when keepalived dies.
ensure_watch() {
  rm -f "$run/vips"
  if [ -d /run/systemd/system ]; then
    wanted="# Written by Weir: VIPs leave lo whenever keepalived ends, however it ends.${'$'}{newline}[Service]${'$'}{newline}ExecStopPost=-$self withdraw"
    if [ "$(cat "$drop_in" 2>/dev/null)" != "$wanted" ]; then
      mkdir -p "${'$'}{drop_in%/*}" && printf "%s\n" "$wanted" >"$drop_in.new" && mv -f "$drop_in.new" "$drop_in" || return 1
      limited 30 systemctl daemon-reload || return 1
    fi
    wanted="# Written by Weir: host settings, and an activation that a restart of the machine cut short.
[Unit]
Description=Weir: host settings of this LB
After=network-online.target
Wants=network-online.target
Before=keepalived.service frr.service zebra.service ospfd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$self boot
[Install]
WantedBy=multi-user.target"
    if [ "$(cat "$boot_unit" 2>/dev/null)" != "$wanted" ]; then
      printf "%s\n" "$wanted" >"$boot_unit.new" && mv -f "$boot_unit.new" "$boot_unit" || return 1
      limited 30 systemctl daemon-reload && limited 30 systemctl enable weir.service >/dev/null 2>&1 || return 1
    fi
    # of DPVS nobody says under which unit it runs, if under any
    if find_plane; then
      wanted="# Written by Weir: VIPs leave the kernel when DPVS ends.
[Unit]
Description=Weir: watch over DPVS and keepalived
[Service]
ExecStart=$self watch
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target"
      if [ "$(cat "$watch_unit" 2>/dev/null)" != "$wanted" ]; then
        printf "%s\n" "$wanted" >"$watch_unit.new" && mv -f "$watch_unit.new" "$watch_unit" || return 1
        limited 30 systemctl daemon-reload && limited 30 systemctl enable weir-watch.service >/dev/null 2>&1 || return 1
        limited 30 systemctl --no-block restart weir-watch.service || return 1
      fi
    elif [ -e "$watch_unit" ]; then
      limited 30 systemctl disable weir-watch.service >/dev/null 2>&1
      limited 30 systemctl --no-block stop weir-watch.service
      rm -f "$watch_unit"
      limited 30 systemctl daemon-reload || return 1
    fi
  else
    setsid "$self" watch </dev/null >/dev/null 2>&1 9>&- 8>&- &
  fi
}

boots_by_itself() {
  [ ! -d /run/systemd/system ] || return 0
  grep -qs "weir boot" /etc/rc.local /etc/rc.d/rc.local /etc/inittab /etc/cron.d/* /var/spool/cron/root
}

`;
