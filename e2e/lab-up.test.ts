/** `weir lab` as an operator uses it: the built command line, on a folder of its own. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LabView } from '../lab/edge/describe.ts';
import { whyNoLab } from '../lab/lab.ts';
import { createClient } from '../src/client/client.ts';
import type { ClusterStatusView } from '../src/contract/status.ts';
import { makeLabFolder } from './testing/lab-edge.ts';

const reason = whyNoLab();
if (reason !== undefined) console.warn(`left out: weir lab: ${reason}`);

const weirFile = resolve(import.meta.dirname, '../bin/weir');
const minute = 60_000;

describe.skipIf(reason !== undefined)(
  `weir lab${reason ? ` (left out: ${reason})` : ''}`,
  { timeout: 3 * minute },
  () => {
    let folder: string;
    let view: LabView;

    beforeAll(async () => {
      folder = await makeLabFolder();
    });
    afterAll(async () => {
      await weir('down');
      await rm(folder, { recursive: true, force: true });
    }, minute);

    function run(program: string, words: readonly string[]): Promise<{ code: number; out: string; err: string }> {
      return new Promise((done) => {
        execFile(program, words, { env: environment() }, (error, out, err) =>
          done({ code: error === null ? 0 : Number(error.code), out, err }),
        );
      });
    }
    const weir = (...words: string[]) => run(process.execPath, [weirFile, 'lab', ...words]);
    const environment = () => ({ ...process.env, WEIR_LAB: folder, APT_LOG: join(folder, 'apt-get.log') });

    async function status(): Promise<LabView> {
      const { code, out, err } = await weir('status', '-o', 'json');
      expect(code, err).toBe(0);
      return JSON.parse(out) as LabView;
    }

    test('says that none is up, and takes none down', async () => {
      expect(await weir('status')).toMatchObject({ code: 1, err: expect.stringContaining('weir lab up') as string });
      expect(await weir('run', '--', 'true')).toMatchObject({ code: 1 });
      expect(await weir('down')).toMatchObject({ code: 0, out: 'no lab was up\n' });
    });

    test('refuses a command that changes it while another one is at work', async () => {
      const holder = spawn('flock', [join(folder, 'lock'), 'sh', '-c', 'echo held; exec cat'], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      await once(holder.stdout, 'data');
      const refused = await Promise.all([weir('down'), weir('up', '--lbs', '1'), weir('kill', 'lb1')]);
      for (const { code, err } of refused) expect([code, err]).toEqual([1, expect.stringContaining('at work')]);
      holder.stdin.end();
      await once(holder, 'close');
      expect(await weir('down')).toMatchObject({ code: 0, out: 'no lab was up\n' });
    });

    test('refuses counts that no lab has, and leaves nothing', async () => {
      for (const flags of [
        ['--lbs', '9'],
        ['--wss', '0'],
        ['--lbs', 'two'],
        ['--wss', '1000000'],
        ['--speed', '3'],
      ]) {
        expect(await weir('up', ...flags), flags.join(' ')).toMatchObject({ code: 2, out: '' });
      }
      expect(leftOf(folder)).toEqual([]);
    });

    test('is for root, says what is missing, and installs it where it is told to', async () => {
      const policy = existsSync('/usr/sbin/policy-rc.d');
      const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, weirFile];
      for (const words of [['up'], ['status'], ['down'], ['run', '--', 'true']]) {
        const refused = await run('setpriv', [...nobody, 'lab', ...words]);
        expect(refused, words.join(' ')).toMatchObject({
          code: 1,
          out: '',
          err: expect.stringContaining('root') as string,
        });
      }
      // ipvsadm is hidden; apt-get is played, and brings it back
      const aptGet = '#!/bin/sh\necho "$@" >>"$APT_LOG"\ncase $1 in install) umount /usr/sbin/ipvsadm;; esac\n';
      await writeFile(join(folder, 'apt-get'), aptGet, { mode: 0o755 });
      const hide = 'mount --bind /dev/null /usr/sbin/ipvsadm && mount --bind "$0" /usr/bin/apt-get && exec "$@"';
      const without = (...words: string[]) =>
        run('unshare', [
          '--mount',
          'sh',
          '-c',
          hide,
          join(folder, 'apt-get'),
          process.execPath,
          weirFile,
          'lab',
          ...words,
        ]);
      expect(await without('up')).toMatchObject({
        code: 1,
        err: expect.stringMatching(/apt-get install ipvsadm .*weir lab up --install/s) as string,
      });
      const installed = await without('up', '--install', '--lbs', '9');
      expect(installed, installed.err).toMatchObject({ code: 2, err: expect.stringContaining('1 to 8 LBs') as string });
      const asked = await readFile(join(folder, 'apt-get.log'), 'utf8');
      expect(asked).toMatch(/^update .*\ninstall .* ipvsadm\n$/);
      expect(existsSync('/usr/sbin/policy-rc.d')).toBe(policy);
    });

    test('leaves nothing where it is killed on the way, wherever that is', async () => {
      const before = interfaces();
      for (const ms of [300, 1500, 4000, 9000]) {
        const child = spawn(process.execPath, [weirFile, 'lab', 'up', '--lbs', '1', '--wss', '1'], {
          env: environment(),
          stdio: 'ignore',
        });
        await pause(ms);
        child.kill('SIGKILL');
        expect(await weir('down')).toMatchObject({ code: 0, err: '' });
        expect(leftOf(folder), `killed after ${ms} ms`).toEqual([]);
      }
      expect(interfaces()).toEqual(before);
    });

    test('comes up published and activated, and answers requests from the client', async () => {
      // as root's is on a machine that is careful
      const careful = ['-c', 'umask 077; exec "$@"', 'sh', process.execPath, weirFile];
      const flags = ['--lbs', '2', '--wss', '2', '--listen', `127.0.0.1:${await freePort()}`];
      const made = await run('sh', [...careful, 'lab', 'up', ...flags]);
      expect(made, made.err).toMatchObject({ code: 0 });
      expect(made.err).toContain('requests are answered');
      view = await status();
      expect(view).toMatchObject({
        lbs: ['lb1.lab', 'lb2.lab'],
        wss: ['ws1.lab', 'ws2.lab'],
        vips: ['10.50.0.1', '10.50.0.2'],
        routes: { '10.50.0.1': ['lb1.lab', 'lb2.lab'], '10.50.0.2': ['lb1.lab', 'lb2.lab'] },
        off: [],
        weir: 'up',
      });
      for (const word of [view.token, view.url, '10.50.0.1', 'weir lab run', 'Three things to try']) {
        expect(made.out).toContain(word);
      }
      for (const line of made.out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
      for (const secret of ['lab.json', 'router/ospfd.conf', 'weir/weir.yaml', 'weir/admin-token', 'ssh/id_ed25519']) {
        expect(statSync(join(view.directory, secret)).mode & 0o007, secret).toBe(0);
      }
      const asked = await weir('run', '--', 'curl', '-sS', '-m', '5', 'http://10.50.0.1/');
      expect(asked, asked.err).toMatchObject({ code: 0 });
      const { ws, source } = JSON.parse(asked.out) as { ws: string; source: string };
      expect(view.wss).toContain(ws);
      expect(Object.values(view.addresses.lips).flat()).toContain(source);
    });

    test('has nothing on an LB but what Weir published there, as its status tells', async () => {
      const client = createClient(view);
      const { data } = await client.call<ClusterStatusView>('/clusters/lab/status');
      expect(data.lbs.map((row) => row.deviations?.items)).toEqual([[], []]);
      expect(data.lbs.map((row) => row.state)).toEqual(['ok', 'ok']);
    });

    test('is up already where it is brought up again, and another one is refused', async () => {
      const again = await weir('up');
      expect(again, again.err).toMatchObject({ code: 0, err: expect.stringContaining('up already') as string });
      expect(again.out).toContain(view.token);
      expect(await weir('up', '--lbs', '3')).toMatchObject({
        code: 1,
        err: expect.stringContaining('weir lab down') as string,
      });
      expect((await status()).directory).toBe(view.directory);
    });

    test('runs a command in the client, with its words, folder, input and exit code', async () => {
      expect(await weir('run', '--', 'sh', '-c', 'pwd; printf "%s|" "$@"; exit 7', 'sh', 'a b', '$HOME')).toMatchObject(
        {
          code: 7,
          out: `${process.cwd()}\na b|$HOME|`,
        },
      );
      expect((await weir('run', '--', 'ip', '-br', 'addr', 'show', 'dev', 'eth0')).out).toContain('10.10.0.2/24');
      expect(await weir('run', '--', 'sh', '-c', 'kill -TERM $$')).toMatchObject({ code: 143 });
      expect(await weir('run', '--', 'no-such-program')).toMatchObject({ code: 127 });
    });

    test('cuts the power of an LB and boots it again, and the router sees both', async () => {
      expect(await weir('kill', 'lb9')).toMatchObject({ code: 1, err: expect.stringContaining('lb1.lab') as string });
      expect(await weir('kill', 'lb1')).toMatchObject({ code: 0, out: 'lb1.lab: power cut\n' });
      expect(await weir('kill', 'lb1.lab')).toMatchObject({ code: 0, out: 'lb1.lab has no power already\n' });
      expect((await status()).off).toEqual(['lb1.lab']);
      await until(async () => (await status()).routes['10.50.0.1']?.join() === 'lb2.lab');
      expect(await weir('start', 'lb1')).toMatchObject({ code: 0, out: 'lb1.lab has booted\n' });
      expect(await weir('start', 'lb1')).toMatchObject({ code: 0, out: 'lb1.lab runs already\n' });
      await until(async () => (await status()).routes['10.50.0.1']?.join() === 'lb1.lab,lb2.lab');
    });

    test('goes on without Weir, which is started again with all that it had', async () => {
      const pid = serving(view.directory)[0];
      process.kill(Number(pid), 'SIGKILL');
      await until(async () => (await status()).weir === 'down');
      expect((await weir('run', '--', 'curl', '-sS', '-m', '5', 'http://10.50.0.1/')).code).toBe(0);
      expect(await weir('up')).toMatchObject({ code: 0 });
      expect(await status()).toMatchObject({ weir: 'up', url: view.url, token: view.token });
      const { data } = await createClient(view).call<ClusterStatusView>('/clusters/lab/status');
      expect(data.lbs.map((row) => row.state)).toEqual(['ok', 'ok']);
    });

    test('tells what requests from the client come to', async () => {
      const probed = await weir('probe', '--seconds', '3', '--rate', '50');
      expect(probed, probed.err).toMatchObject({ code: 0, out: '' });
      expect(probed.err).toMatch(/^\d\d:\d\d:\d\d  0 of 1\d\d failed; p99 \d+ ms .* ws1 \d+ ws2 \d+$/m);
      const child = spawn(process.execPath, [weirFile, 'lab', 'probe'], {
        env: environment(),
        stdio: ['ignore', 'ignore', 'pipe'],
        detached: true,
      });
      await once(child.stderr, 'data');
      // as Ctrl-C at a terminal: to all of the foreground
      process.kill(-Number(child.pid), 'SIGINT');
      expect(await once(child, 'close')).toEqual([0, null]);
      const lost = await weir('probe', '--seconds', '1', '--target', '10.50.0.1:81');
      expect(lost, lost.err).toMatchObject({ code: 1, err: expect.stringContaining('refused') as string });
      for (const words of [
        ['--rate', '0'],
        ['--rate', 'x'],
        ['--target', 'www.example.org:80'],
        ['--target', '1'],
      ]) {
        expect(await weir('probe', '--seconds', '1', ...words), words.join(' ')).toMatchObject({ code: 2 });
      }
    });

    test('leaves no process, mount, network or interface when it is down', async () => {
      expect(await weir('down')).toMatchObject({ code: 0, out: 'the lab is down\n' });
      expect(leftOf(folder)).toEqual([]);
      expect(serving(view.directory)).toEqual([]);
      await expect(fetch(`${view.url}/healthz`)).rejects.toThrow();
      expect(await weir('status')).toMatchObject({ code: 1 });
    });
  },
);

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function until(probe: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + minute;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error('it did not come to that within a minute');
    await pause(100);
  }
}

function interfaces(): string[] {
  return readdirSync('/sys/class/net').sort();
}

/** Its Weir. */
function serving(directory: string): string[] {
  return processes().filter(
    (pid) => commandLine(pid).startsWith(process.execPath) && commandLine(pid).includes(directory),
  );
}

/** Whatever of labs below that folder is there: processes, mounts, folders. */
function leftOf(folder: string): string[] {
  const named = processes().filter((pid) => commandLine(pid).includes(`${folder}/`) && pid !== String(process.pid));
  const spaces = new Set(named.map((pid) => link(pid, 'mnt')).filter((space) => space !== link('self', 'mnt')));
  const inside = processes().filter((pid) => spaces.has(link(pid, 'mnt')) && link(pid, 'mnt') !== '');
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));
  const folders = existsSync(folder) ? readdirSync(folder).filter((name) => /^\d+-/.test(name)) : [];
  return [
    ...named.map(commandLine),
    ...inside.map(commandLine),
    ...mounts,
    ...folders.map((name) => join(folder, name)),
  ];
}

function processes(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

function link(pid: string, space: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${space}`);
  } catch {
    return '';
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
