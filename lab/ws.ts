/** The lab's WSs: one nginx each, in a network of its own whose default route is the router, never an LB. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WeirError } from '../src/domain/errors.ts';
import type { Ran } from '../src/remote/program.ts';
import type { Cell, CellRunOptions } from './cell.ts';
import type { WsPlan } from './topology.ts';

/**
 * Answers `/` with JSON `{"ws": NAME, "source": ADDRESS}` and `/http_check/index.html` with `ok`, on port 80 by HTTP
 * and on 443 by HTTPS.
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

/** Starts them all; resolves when they listen. */
export async function startWss(cell: Cell, folder: string, plans: readonly WsPlan[]): Promise<Ws[]> {
  const tls = join(folder, 'tls');
  await mkdir(tls);
  await makeCertificate(cell, tls);
  return Promise.all(plans.map((plan) => startWs(cell, join(folder, plan.network), { plan, tls })));
}

async function makeCertificate(cell: Cell, tls: string): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(tls, 'key.pem')];
  const certificate = ['-days', '3650', '-subj', '/CN=ws.lab', '-out', join(tls, 'certificate.pem')];
  await cell.must('fabric', ['openssl', 'req', '-x509', ...key, ...certificate]);
}

async function startWs(cell: Cell, own: string, { plan, tls }: { plan: WsPlan; tls: string }): Promise<Ws> {
  await mkdir(own);
  const file = join(own, 'nginx.conf');
  await writeFile(file, nginxConfiguration(own, plan, tls));
  await cell.must(plan.network, ['nginx', '-c', file, '-e', join(own, 'error.log')]);

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
    accessLog: join(own, 'access.log'),
    exec: (argv, options) => cell.run(plan.network, argv, options),
    block: (port) => setBlocked(port, true),
    unblock: (port) => setBlocked(port, false),
  };
}

function nginxConfiguration(own: string, { name }: WsPlan, tls: string): string {
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
    location / {
      return 404 "no such page\\n";
    }
  }
}
`;
}
