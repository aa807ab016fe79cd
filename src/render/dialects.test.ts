/**
 * One document in the three dialects side by side, as docs/dialects.md shows it. After a change on purpose:
 * UPDATE_GOLDEN=1 npx vitest run src/render/dialects.test.ts, and read the difference.
 */
// oxlint-disable-next-line no-restricted-imports -- the page is a file
import { readFileSync, writeFileSync } from 'node:fs';
import { diffArrays } from 'diff';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { Cluster } from '../domain/edge/model.ts';
import { rendered, textsOf } from './testing/releases.ts';
import { steady } from './testing/steady.ts';

const page = new URL('../../docs/dialects.md', import.meta.url);

const document: Cluster = {
  name: 'edge1',
  type: 'internal',
  device: 'eth0',
  vipnets: ['10.10.1.0/24'],
  routing: 'frr',
  ospf: { key: 'S3cretKey8' },
  lbinfos: [
    {
      hostname: 'lb1.room1',
      routerid: '10.0.19.2',
      internalip: '10.0.19.2',
      internalnetmask: '255.255.255.0',
      internalgateway: '10.0.19.1',
      ospfnet: '10.0.19.0/24',
      innerdevice: 'eth1',
      lips: ['10.0.19.200-203'],
    },
  ],
  vip2ws: [
    {
      vip: '10.10.1.1',
      wstype: 'apps',
      wss: ['ws1.room1', 'ws2.room1'],
      ports: [
        { sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 },
        { sport: 443, dport: 443, synproxy: 1, persistence_timeout: 0, check: { host: 'www.example.com' } },
      ],
      wsattrs: { 'ws1.room1': { address: '10.0.20.11' }, 'ws2.room1': { address: '10.0.20.12', weight: 50 } },
    },
  ],
};

const dataplanes = ['fullnat', 'dpvs', 'ipvs'] as const;

/** Texts of the one LB by path, for each data plane. */
const texts = dataplanes.map((dataplane) => {
  const ports =
    dataplane === 'dpvs' ? { device: 'dpdk0', innerdevice: 'dpdk1' } : { device: 'eth0', innerdevice: 'eth1' };
  const lbinfos = document.lbinfos.map((lb) => ({ ...lb, innerdevice: ports.innerdevice }));
  const [release] = rendered({ ...document, dataplane, device: ports.device, lbinfos });
  if (!release) throw new Error('there is one LB');
  return textsOf(release);
});

interface Line {
  text: string;
  /** Of those that have it, by their place. */
  of: Set<number>;
}

/** Lines of several texts in one sequence that keeps the order of each. */
function merged(sides: readonly (readonly string[])[]): Line[] {
  return sides.reduce<Line[]>((lines, side, at) => {
    const parts = diffArrays(
      lines.map((line) => line.text),
      [...side],
    );
    let next = 0;
    return parts.flatMap((part) =>
      part.value.map((text): Line => {
        const known = part.added ? undefined : lines[next++];
        const of = new Set(known?.of);
        if (!part.removed) of.add(at);
        return { text, of };
      }),
    );
  }, []);
}

function sideBySide(path: string): string {
  const sides = texts.map((of) =>
    of.get(path) === undefined
      ? []
      : steady(of.get(path) ?? '')
          .trimEnd()
          .split('\n'),
  );
  const marks = (of: Set<number>) => dataplanes.map((name, i) => (of.has(i) ? name[0] : '.')).join('');
  return merged(sides)
    .map(({ text, of }) => `${marks(of)}  ${text}`.trimEnd())
    .join('\n');
}

function shown(block: string): string {
  return block === 'document' ? stringify(document, { lineWidth: 100 }).trimEnd() : sideBySide(block);
}

const blocks = /^<!-- (\S+) -->\n```(\w*)\n([^]*?)\n?```$/gm;

describe('the page about dialects', () => {
  test('shows what is rendered', () => {
    const before = readFileSync(page, 'utf8');
    const after = before.replaceAll(blocks, (_, name: string, language: string) => {
      return `<!-- ${name} -->\n\`\`\`${language}\n${shown(name)}\n\`\`\``;
    });
    if (process.env['UPDATE_GOLDEN']) writeFileSync(page, after);
    else expect(before).toBe(after);
  });

  test('shows every file that a release has, but scripts, the manifest, and what is the same in all', () => {
    const named = [...readFileSync(page, 'utf8').matchAll(blocks)].map(([, name = '']) => name);
    const paths = new Set(texts.flatMap((of) => [...of.keys()]));
    for (const left of ['host/announce', 'host/weir', 'manifest.json', 'keepalived/entry.conf']) paths.delete(left);
    expect(named.toSorted()).toEqual(['document', ...paths].toSorted());
  });

  test('keeps the lines of each data plane, in their order', () => {
    for (const path of ['keepalived/vips/10.10.1.1.conf', 'keepalived/keepalived.conf', 'routing/frr.conf']) {
      texts.forEach((of, i) => {
        const sides = texts.map((text) => (text.get(path) ?? '').split('\n'));
        const own = merged(sides).filter((line) => line.of.has(i));
        expect(own.map((line) => line.text).join('\n')).toBe(of.get(path));
      });
    }
  });
});
