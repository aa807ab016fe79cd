/** Debian's packages for a lab, on the machine that asks for one. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { WeirError } from '../../src/domain/errors.ts';
import { labsFolder } from '../folder.ts';
import { forgetWhyNoLab, missingPackages, whyNoLab } from '../needs.ts';
import { exclusively } from './lock.ts';

export interface RequireOptions {
  /** Whether what is missing is installed. */
  readonly install: boolean;
  readonly tell: (line: string) => void;
}

/** Throws, with the reason and what to do, where no lab can be brought up here. For root. */
export async function requireLab(directory = labsFolder, { install, tell }: RequireOptions): Promise<void> {
  const missing = missingPackages();
  if (install && missing.length > 0) {
    tell(`installing ${missing.join(', ')}`);
    await exclusively(directory, async () => installPackages(missing));
    forgetWhyNoLab();
  }
  const reason = whyNoLab();
  if (reason === undefined) return;
  const helped = missing.length > 0 && !install;
  throw new WeirError('unavailable', reason, helped ? { hint: 'weir lab up --install installs what is missing' } : {});
}

function installPackages(names: readonly string[]): void {
  if (!existsSync('/usr/bin/apt-get')) {
    throw new WeirError('unavailable', `There is no apt-get here to install ${names.join(', ')}`, {
      hint: 'install the programs in the way of this machine',
    });
  }
  withoutServices(() => {
    aptGet(['update', '-qq']);
    aptGet(['install', '-y', '-qq', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...names]);
  });
}

const installTimeoutMs = 600_000;

function aptGet(words: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error, stderr } = spawnSync('apt-get', words, {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: installTimeoutMs,
  });
  if (status === 0) return;
  const said = error?.message ?? stderr.trim().split('\n').slice(-10).join('\n');
  throw new WeirError('failed', `apt-get ${words[0]} failed: ${said}`, { hint: 'install the packages by hand' });
}

const policyText = '#!/bin/sh\n# While weir lab up --install runs. Remove it where that was killed.\nexit 101\n';

/**
 * The packages' daemons are not started on this machine: the lab starts its own (policy-rc.d of Debian's invoke-rc.d).
 * What an earlier one left that was killed goes too.
 */
function withoutServices(work: () => void): void {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy) || readFileSync(policy, 'utf8') === policyText;
  if (ours) writeFileSync(policy, policyText, { mode: 0o755 });
  try {
    work();
  } finally {
    if (ours) rmSync(policy);
  }
}
