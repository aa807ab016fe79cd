/** Shell text of the agent (agent.ts): releases on the machine: their manifests, files and VIPs. */

export const releases = String.raw`# --- releases ---------------------------------------------------------------------------------------------------

# the folder that a link of /etc/weir names; empty where it names none
folder_of() {
  folder=
  [ -L "$etc/$1" ] || return 0
  folder=$(readlink "$etc/$1")
  folder=$etc/$folder
  [ -d "$folder" ] || folder=
}

# fields of a release's manifest
read_manifest() {
  m_release= m_dataplane= m_routing= m_loads= m_helper= m_services=0
  [ -r "$1/manifest.json" ] || return 1
  while IFS="\"" read -r _ m_key m_bare m_value _; do
    case $m_key in
      services) m_services=${'$'}{m_bare#: }; m_services=${'$'}{m_services%,} ;;
      release) m_release=$m_value ;;
      dataplane) m_dataplane=$m_value ;;
      routing) m_routing=$m_value ;;
      loads) m_loads=$m_value ;;
      helper) m_helper=$m_value ;;
      files) break ;;
    esac
  done <"$1/manifest.json"
  [ -n "$m_release" ]
}

# names what of a release is not as its manifest says
verify() {
  cd "$1" || return 1
  bad=$(awk -F"\"" "\$2 == \"path\" { print \$8 \"  \" \$4 }" manifest.json | sha256sum -c 2>/dev/null | grep -v ": OK\$" | head -n 5)
  cd /
  [ -z "$bad" ]
}

# live routing files of a routing suite
routing_files() {
  case $1 in
    frr) routing_live=/etc/frr/frr.conf ;;
    *) routing_live="/usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf" ;;
  esac
}

# lines "VIP POLICY QUORUM" of a release, as its quorum_up has them
vips_of() {
  [ -d "$1/keepalived/vips" ] || return 0
  set -- "$1/keepalived/vips/"*.conf
  [ -e "$1" ] || return 0
  awk "\$1 == \"quorum_up\" { line = \$3 \" \" \$4 \" \" \$5; gsub(/\"/, \"\", line); if (!(line in seen)) { seen[line] = 1; print line } }" "$@"
}

# addresses of every VIP that any release on this machine has
all_vips() { ls "$etc/releases/"*/keepalived/vips 2>/dev/null | sed -n "s/\.conf\$//p"; }

`;
