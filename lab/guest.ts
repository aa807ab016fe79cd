/** An LB as a User-Mode Linux guest: its own kernel, with IPVS, over this machine's files. */
import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { plugTaps } from './fabric.ts';
import { guestInit } from './guest-init.ts';
import { environmentOf, folderOf, type Kind, type MachineOptions } from './machine.ts';

export const guest: Kind = {
  init: guestInit,
  marks,
  command: (_cell, options) => [
    ...onOneProcessor(options),
    ...outer,
    ...marks(options),
    ...fixedKernelWords,
    ...kernelWords(options),
  ],
  prepare: (cell, { plan }) => plugTaps(cell, plan),
  async clear(_cell, { folder, plan }) {
    await rm(join(folder, 'uml', plan.name), { recursive: true, force: true });
    await mkdir(join(folder, 'uml'), { recursive: true });
  },
};

/** The guest's own processes show no command line here. */
function marks({ folder, plan }: MachineOptions): string[] {
  return [`umid=${plan.name}`, `uml_dir=${join(folder, 'uml')}/`];
}

/**
 * Every call of a program in a guest goes from one process of this machine to another and back. On one processor that
 * is a switch, on two it wakes an idle one each time: an activation took 15 s there and takes 4 s here. Guests of one
 * lab are on different ones, as far as there are enough.
 */
function onOneProcessor({ folder, plan }: MachineOptions): string[] {
  const processors = allowedProcessors();
  const number = Number(/\d+/.exec(plan.name)?.[0] ?? 0);
  const ofLab = Array.from(folder).reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  const processor = processors[(ofLab + number) % processors.length];
  return processor === undefined ? [] : ['taskset', '--cpu-list', String(processor)];
}

/** proc(5): ranges like `0-3,8`. */
function allowedProcessors(): number[] {
  const [, ranges = ''] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ranges.split(',').flatMap((range) => {
    const [first = NaN, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** The kernel is the first process of a PID namespace, so that its end is that of all its processes. */
const outer = ['unshare', '--pid', '--fork', '--kill-child', '--', 'linux.uml'] as const;

/** The root file system is this machine's, read-only; the console is the output of the process. */
const fixedKernelWords = [
  'root=/dev/root',
  'rootfstype=hostfs',
  'rootflags=/',
  'ro',
  'quiet',
  'con=null',
  'con0=fd:0,fd:1',
] as const;

function kernelWords(options: MachineOptions): string[] {
  const { plan, memory } = options;
  const init = join(folderOf(options), 'init');
  const device = (number: number, tap: string, mac: string): string =>
    // Without gro, packets of the LB that it did not segment itself are lost.
    `vec${number}:transport=tap,ifname=${tap},depth=128,gro=1,mac=${mac}`;
  return [
    `mem=${memory}M`,
    `init=${init}`,
    device(0, plan.taps.eth0, plan.macs.eth0),
    device(1, plan.taps.eth1, plan.macs.eth1),
    `LAB_INIT=${init}`,
    ...environmentOf(options),
  ];
}
