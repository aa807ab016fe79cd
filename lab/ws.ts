/** The lab's WSs: one nginx each, in a network of its own whose default route is the router, never an LB. */
import { chmod, mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WeirError } from '../src/domain/errors.ts';
import type { Ran } from '../src/remote/program.ts';
import type { Cell, CellRunOptions } from './cell.ts';
import type { WsPlan } from './topology.ts';

/**
 * Answers `/` with JSON `{"ws": NAME, "source": ADDRESS}` and `/http_check/index.html` with `ok`, on port 80 by HTTP
 * and on 443 by HTTPS. `/slow/SECONDS` is a download that lasts about so long, one of `slowSeconds`; `/slow` is the
 * longest. Their answers tell the WS's name as `X-Ws`.
 */
export interface Ws {
  readonly name: string;
  readonly address: string;
  /** One line per request, checks left out: `TIME SOURCE:PORT SERVER_PORT STATUS URI`. */
  readonly accessLog: string;
  exec(argv: readonly string[], options?: CellRunOptions): Promise<Ran>;
  /** From now on the port refuses new connections and resets old ones. */
  block(port: number): Promise<void>;
  unblock(port: number): Promise<void>;
}

/** Bytes per second of a slow download; nginx gives the bytes of its first second at once. */
const slowRate = 20_000;
const slowSeconds = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600] as const;
const longest = slowSeconds[slowSeconds.length - 1];

/** Starts them all; resolves when they listen. */
export async function startWss(cell: Cell, folder: string, plans: readonly WsPlan[]): Promise<void> {
  const tls = join(folder, 'tls');
  await mkdir(tls);
  await makeCertificate(cell, tls);
  const slow = join(folder, 'slow');
  await makeSlowPages(slow);
  await Promise.all(plans.map((plan) => startWs(cell, join(folder, plan.network), { plan, tls, slow })));
}

/** Sparse ones. nginx reads them as www-data. */
async function makeSlowPages(slow: string): Promise<void> {
  await mkdir(slow);
  await chmod(slow, 0o755);
  await Promise.all(
    slowSeconds.map(async (seconds) => {
      const file = join(slow, String(seconds));
      await writeFile(file, '');
      await truncate(file, slowRate * (seconds + 1));
      await chmod(file, 0o644);
    }),
  );
}

async function makeCertificate(cell: Cell, tls: string): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(tls, 'key.pem')];
  const certificate = ['-days', '3650', '-subj', '/CN=ws.lab', '-out', join(tls, 'certificate.pem')];
  await cell.must('fabric', ['openssl', 'req', '-x509', ...key, ...certificate]);
}

/** What a WS is made of; `tls` and `slow` are folders that all share. */
interface Makings {
  readonly plan: WsPlan;
  readonly tls: string;
  readonly slow: string;
}

async function startWs(cell: Cell, own: string, makings: Makings): Promise<void> {
  const { plan } = makings;
  await mkdir(own);
  const file = join(own, 'nginx.conf');
  await writeFile(file, nginxConfiguration(own, makings));
  await cell.must(plan.network, ['nginx', '-c', file, '-e', join(own, 'error.log')]);
}

/** A WS of a lab in that folder, whether it runs or not. */
export function wsOf(cell: Cell, folder: string, plan: WsPlan): Ws {
  async function rule(action: '-A' | '-D' | '-C', port: number): Promise<Ran> {
    const match = ['-p', 'tcp', '--dport', String(port), '-j', 'REJECT', '--reject-with', 'tcp-reset'];
    return cell.run(plan.network, ['iptables', '-w', action, 'INPUT', ...match]);
  }

  async function setBlocked(port: number, blocked: boolean): Promise<void> {
    if (((await rule('-C', port)).code === 0) === blocked) return;
    const { code, stderr } = await rule(blocked ? '-A' : '-D', port);
    if (code !== 0) throw new WeirError('failed', `iptables on ${plan.name} failed: ${stderr.trim()}`);
  }

  return {
    name: plan.name,
    address: plan.address,
    accessLog: join(folder, plan.network, 'access.log'),
    exec: (argv, options) => cell.run(plan.network, argv, options),
    block: (port) => setBlocked(port, true),
    unblock: (port) => setBlocked(port, false),
  };
}

function nginxConfiguration(own: string, { plan: { name }, tls, slow }: Makings): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `user www-data;
worker_processes 1;
pid ${join(own, 'nginx.pid')};
error_log ${join(own, 'error.log')};
events {
  worker_connections 4096;
}
http {
  log_format lab '$time_iso8601 $remote_addr:$remote_port $server_port $status $request_uri';
  map $uri $asked {
    /http_check/index.html 0;
    default 1;
  }
  access_log ${join(own, 'access.log')} lab if=$asked;
${temporary.map((kind) => `  ${kind}_temp_path ${join(own, kind)};`).join('\n')}
  keepalive_requests 1000000;
  keepalive_timeout 1h;
  keepalive_time 1d;
  default_type text/plain;
  ssl_certificate ${join(tls, 'certificate.pem')};
  ssl_certificate_key ${join(tls, 'key.pem')};
  server {
    listen 80 backlog=4096;
    listen 443 ssl backlog=4096;
    location = / {
      default_type application/json;
      return 200 '{"ws":"${name}","source":"$remote_addr"}\\n';
    }
    location = /http_check/index.html {
      return 200 "ok\\n";
    }
    location = /slow {
      alias ${join(slow, String(longest))};
      limit_rate ${slowRate};
      add_header X-Ws ${name};
    }
    location /slow/ {
      alias ${slow}/;
      limit_rate ${slowRate};
      add_header X-Ws ${name};
    }
    location / {
      return 404 "no such page\\n";
    }
  }
}
`;
}
