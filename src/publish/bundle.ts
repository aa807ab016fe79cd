/**
 * Bundles: what is sent to an LB. The files that all LBs of a cluster share are packed and
 * compressed once; a release that differs little from the one on the machine is sent as what differs.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { LRUCache } from 'lru-cache';
import { packTar } from 'modern-tar';
import type { RenderedFile } from '../render/files.ts';
import type { Release } from '../render/cluster.ts';

const PACKED_CACHE_BYTES = 64 * 1024 * 1024;
const packed = new LRUCache<string, Uint8Array>({
  maxSize: PACKED_CACHE_BYTES,
  sizeCalculation: (data) => data.length + 64,
});

/** A tar ends with two blocks of zeros; archives are joined by leaving them out of the first. */
const TAR_END = 1024;

/** The whole release, gzipped; shared files first. */
export async function fullBundle(release: Release): Promise<Uint8Array[]> {
  const files = release.files();
  const shared = files.filter((f) => f.path.startsWith('keepalived/vips/'));
  const own = files.filter((f) => !f.path.startsWith('keepalived/vips/'));
  return [await packShared(shared), await pack([...own, release.manifest()])];
}

/** What differs from a release that the machine has; `.remove` lists what it must lose. */
export async function deltaBundle(base: Release, release: Release): Promise<Uint8Array[]> {
  const before = new Map(base.files().map((f) => [f.path, f.sha256 + f.mode]));
  const files = release.files();
  const changed = files.filter((f) => before.get(f.path) !== f.sha256 + f.mode);
  for (const file of files) before.delete(file.path);
  const removed = [...before.keys()];
  return [await pack([...changed, release.manifest()], removed)];
}

/** Packing that is under way: LBs that are published at once share it. */
const packing = new Map<string, Promise<Uint8Array>>();

async function packShared(files: readonly RenderedFile[]): Promise<Uint8Array> {
  const key = createHash('sha256')
    .update(files.map((f) => f.sha256).join(''))
    .digest('hex');
  const known = packed.get(key) ?? packing.get(key);
  if (known) return known;
  const work = packWithoutEnd(files);
  packing.set(key, work);
  try {
    const data = await work;
    packed.set(key, data);
    return data;
  } finally {
    packing.delete(key);
  }
}

async function packWithoutEnd(files: readonly RenderedFile[]): Promise<Uint8Array> {
  const tar = await packTar(files.map(entryOf));
  return gzipSync(tar.subarray(0, tar.length - TAR_END));
}

async function pack(files: readonly RenderedFile[], removed: readonly string[] = []): Promise<Uint8Array> {
  const entries = files.map(entryOf);
  if (removed.length > 0) entries.push(entry('.remove', '0644', `${removed.join('\n')}\n`));
  return gzipSync(await packTar(entries));
}

/** The release as a plain tar, for whoever asks the API for it. */
export async function releaseTar(files: readonly RenderedFile[]): Promise<Uint8Array> {
  return packTar(files.map(entryOf));
}

function entryOf(file: RenderedFile) {
  return entry(file.path, file.mode, file.text());
}

function entry(name: string, mode: string, text: string) {
  const body = Buffer.from(text);
  return {
    header: {
      name,
      size: body.length,
      mode: Number.parseInt(mode, 8),
      type: 'file' as const,
      mtime: EPOCH,
      uid: 0,
      gid: 0,
    },
    body,
  };
}

/** A fixed time, so that the same release is the same bytes. */
const EPOCH = new Date(0);
