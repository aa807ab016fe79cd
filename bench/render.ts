/**
 * Full rendering of 32 LBs x 1,000 VIPs x 2 ports x 20 WSs, beside the same text made by plain
 * string concatenation; then one WS added to one VIP of that cluster, beside a 100-VIP cluster.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Addresses } from '../src/domain/edge/addresses.ts';
import { checkCluster } from '../src/domain/edge/check.ts';
import { emptyLipPlan, lipsOf, planLips } from '../src/domain/edge/lips.ts';
import type { LipPlan } from '../src/domain/edge/lips.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { applyCalls, readCall } from '../src/domain/edge/operations.ts';
import { diffCluster, digestOf, reconcile } from '../src/domain/edge/patch.ts';
import { errorsOf } from '../src/domain/problem.ts';
import { renderCluster } from '../src/render/cluster.ts';
import { announceHelper } from '../src/render/host/announce.ts';
import { openSqliteStore } from '../src/store/sqlite/sqlite-store.ts';
import { openState } from '../src/store/state.ts';
import { makeAddresses, makeCluster } from './clusters.ts';
import { inTurn, machine, median, ms, report, spread } from './measure.ts';

const full = { lbs: 32, vips: 1000, wss: 20 };

function plan(cluster: Cluster): LipPlan {
  return planLips({ cluster, plan: emptyLipPlan, isTaken: () => false, now: '' }).plan;
}

/** The same bytes for every file of every LB, with nothing cached, checked or shared but the VIP files. */
function concatenate(cluster: Cluster, lips: LipPlan, addresses: Addresses): number {
  let bytes = 0;
  const vipTexts: string[] = [];
  for (const vip of cluster.vip2ws) {
    const announce = `/etc/weir/bin/${announceHelper.name} ${vip.vip} any 1`;
    let text = `! VIP ${vip.vip}, wstype ${vip.wstype}\n`;
    for (const port of vip.ports) {
      const group = `${vip.vip}_${port.sport}`;
      text += `virtual_server_group ${group} {\n    ${vip.vip} ${port.sport}\n}\nvirtual_server group ${group} {\n    delay_loop 6\n    lb_algo wrr\n    lb_kind FNAT\n    protocol TCP\n    persistence_timeout ${port.persistence_timeout}\n    syn_proxy\n    laddr_group_name laddr_g1\n    alpha\n    omega\n    quorum 1\n    hysteresis 0\n    quorum_up "${announce}"\n    quorum_down "${announce}"\n`;
      const kind = port.dport === 443 ? 'SSL_GET' : 'HTTP_GET';
      for (const ws of vip.wss) {
        text += `    real_server ${addresses.get(ws)?.address} ${port.dport} {\n        weight 100\n        ${kind} {\n            url {\n                path /http_check/index.html\n                status_code 200\n            }\n            connect_timeout 3\n            nb_get_retry 3\n            delay_before_retry 3\n        }\n    }\n`;
      }
      text += '}\n';
    }
    vipTexts.push(text);
    bytes += Buffer.byteLength(text);
  }
  for (const lb of cluster.lbinfos) {
    let text = `global_defs {\n    router_id LVS_${lb.hostname}\n}\nlocal_address_group laddr_g1 {\n`;
    for (const lip of lipsOf(lips, lb.hostname)) text += `    ${lip}\n`;
    text += '}\n';
    for (const vip of cluster.vip2ws) text += `include vips/${vip.vip}.conf\n`;
    bytes += Buffer.byteLength(text);
  }
  return bytes;
}

/** New objects, so that nothing is cached by identity. */
function fresh(cluster: Cluster): Cluster {
  return structuredClone(cluster);
}

async function fullRendering(): Promise<void> {
  const cluster = makeCluster('big', full);
  const addresses = makeAddresses(cluster);
  const lips = plan(cluster);
  const copies = Array.from({ length: 14 }, () => fresh(cluster));
  let services = 0;
  const timings = await inTurn(
    {
      weir: () => {
        const next = copies.pop() ?? fresh(cluster);
        const rendered = renderCluster({ cluster: next, lips, addresses });
        if (!rendered.ok) throw new Error('not rendered');
        services = rendered.releases[0]?.services ?? 0;
      },
      plain: () => concatenate(cluster, lips, addresses),
    },
    9,
  );
  const [weir, plain] = [timings.get('weir'), timings.get('plain')];
  report('full rendering, 32 LBs x 1,000 VIPs x 2 ports x 20 WSs', [
    ['Weir: releases with digests of all files', spread(weir)],
    ['plain string concatenation, no digests', spread(plain)],
    ['ratio', (median(weir?.samples ?? []) / median(plain?.samples ?? [])).toFixed(2)],
    ['virtual services per LB', String(services)],
  ]);
}

interface Bench {
  cluster: Cluster;
  addresses: Addresses;
  lips: LipPlan;
  count: number;
}

function prepared(vips: number): Bench {
  const cluster = makeCluster(`c${vips}`, { ...full, vips });
  const bench = { cluster, addresses: makeAddresses(cluster), lips: plan(cluster), count: 0 };
  renderCluster(bench);
  digestOf(cluster);
  checkCluster(cluster);
  return bench;
}

/**
 * Everything between the request and the commit, and what publishing needs after it. The WS's address
 * stands in the document, or was `resolved`.
 */
function addOneWs(bench: Bench, resolved: boolean): void {
  const vip = bench.cluster.vip2ws[bench.count % bench.cluster.vip2ws.length];
  const ws = `new${bench.count}.hy01`;
  const address = `172.16.${(bench.count >> 8) & 255}.${bench.count & 255}`;
  const call = readCall({ op: 'ws.add', vip: vip?.vip, wss: [resolved ? ws : { ws, address }] });
  if (!call.ok) throw new Error('not read');
  const applied = applyCalls(bench.cluster, [call.value]);
  if (!applied.ok || !applied.cluster) throw new Error('not applied');
  const next = reconcile(bench.cluster, applied.cluster);
  if (errorsOf(checkCluster(next)).length > 0) throw new Error('not valid');
  diffCluster(bench.cluster, next);
  digestOf(next);
  if (resolved) bench.addresses = bench.addresses.with([[ws, { address, source: 'hosts' }]]);
  const rendered = renderCluster({ cluster: next, lips: bench.lips, addresses: bench.addresses });
  if (!rendered.ok) throw new Error('not rendered');
  bench.cluster = next;
  bench.count++;
}

async function oneChange(): Promise<void> {
  const [small, large] = [prepared(100), prepared(1000)];
  for (let i = 0; i < 200; i++) {
    addOneWs(small, false);
    addOneWs(large, false);
  }
  const timings = await inTurn(
    {
      small: () => addOneWs(small, false),
      large: () => addOneWs(large, false),
      smallResolved: () => addOneWs(small, true),
      largeResolved: () => addOneWs(large, true),
    },
    300,
  );
  const of = (name: string) => median(timings.get(name)?.samples ?? []);
  report('one WS added to one VIP: read + apply + check + diff + render + digest', [
    ['1,000 VIPs', spread(timings.get('large'))],
    ['100 VIPs', spread(timings.get('small'))],
    ['ratio (aim: at most 3)', (of('large') / of('small')).toFixed(2)],
    ['1,000 VIPs, address newly resolved', spread(timings.get('largeResolved'))],
    ['100 VIPs, address newly resolved', spread(timings.get('smallResolved'))],
    ['ratio', (of('largeResolved') / of('smallResolved')).toFixed(2)],
  ]);
}

async function commits(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const store = openSqliteStore(join(folder, 'weir.db'));
  let id = 0;
  const state = await openState(store, {
    now: () => new Date(),
    randomId: () => String(++id),
    onError: (m) => console.error(m),
  });
  const rows: [string, string][] = [];
  const sizes = [100, 1000];
  for (const [index, vips] of sizes.entries()) {
    const cluster = makeCluster(`c${vips}`, { ...full, vips }, index);
    await state.change({ cluster: cluster.name, calls: [{ op: 'cluster.create', input: { cluster } }], by: 'bench' });
  }
  let n = 0;
  const change = (index: number) => async () => {
    const cluster = state.get(`c${sizes[index]}`)?.cluster;
    const vip = cluster?.vip2ws[n % cluster.vip2ws.length]?.vip;
    const wss = [{ ws: `w${n++}.hy01`, address: `172.18.${(n >> 8) & 255}.${n & 255}` }];
    await state.change({ cluster: cluster?.name ?? '', calls: [{ op: 'ws.add', input: { vip, wss } }], by: 'bench' });
  };
  const timings = await inTurn({ small: change(0), large: change(1) }, 200);
  rows.push(['1,000 VIPs', spread(timings.get('large'))], ['100 VIPs', spread(timings.get('small'))]);
  const large = timings.get('large')?.samples ?? [];
  rows.push([
    '1,000 VIPs, 99th percentile (a whole copy is kept every 50 revisions)',
    ms(large[Math.floor(large.length * 0.99)] ?? Number.NaN),
  ]);
  report('the same through the state and a durable commit to SQLite (without rendering)', rows);
  state.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
}

console.log(machine());
await fullRendering();
await oneChange();
await commits();
