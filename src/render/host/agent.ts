/**
 * The agent: what an LB does by itself, without Weir: activating the published release under a
 * dead-man's timer, undoing, draining, watching keepalived, and restoring host settings at boot.
 * Part of every release; installed as /etc/weir/bin/NAME, with /etc/weir/bin/weir naming the published one's.
 *
 * Whatever is changed is changed while /etc/weir/activating says where to go back to. It goes away when the checks
 * have passed, or when everything is back: so a kill, a lost connection or a reboot at any point ends with one of the two.
 * POSIX sh (dash, bash 4.1, busybox ash); needs coreutils 8.4, awk, sed, flock, ip; iptables and frr-reload.py where
 * the release wants them, with dpvs grep, dpip and DPVS's own ipvsadm. Forks are few: a small machine or a busy one takes
 * long for each.
 */
import { liveStub } from '../keepalived/keepalived.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';
import { activate } from './agent/activate.ts';
import { chains } from './agent/chains.ts';
import { commands } from './agent/commands.ts';
import { dataplane } from './agent/dataplane.ts';
import { host } from './agent/host.ts';
import { keepalived } from './agent/keepalived.ts';
import { releases } from './agent/releases.ts';
import { routing } from './agent/routing.ts';
import { start } from './agent/start.ts';
import { undo } from './agent/undo.ts';
import { vips } from './agent/vips.ts';
import { watch } from './agent/watch.ts';

const usage = `usage: weir activate [SECONDS]    load what is published; goes back by itself unless its checks pass
       weir undo                  back to what was active before the last activation
       weir drain [REASON]        withdraw all VIPs, until weir undrain
       weir undrain
       weir status                what is published, active and loaded
       weir boot                  for the machine's start, before keepalived: host settings, unfinished activations`;

/** Functions first, in whatever order; what runs is at the end of the last part. */
const script = [start, releases, dataplane, keepalived, vips, watch, host, chains, routing, undo, activate, commands]
  .join('')
  .replace('@STUB@', liveStub.trim())
  .replace('@USAGE@', usage);

export const agentFile: RenderedFile = renderFile({ path: 'host/weir', mode: '0755' }, () => script);

export const agentHelper = {
  name: `weir-${agentFile.sha256.slice(0, 12)}`,
  file: agentFile,
} as const;
