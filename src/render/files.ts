/**
 * Files and releases as values. A file knows its digest and size at once and gives its text on
 * demand: texts live in one cache that is bounded in bytes, and are rendered again when they fell
 * out of it. May import the domain only; no I/O in render/.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

export interface RenderedFile {
  /** Within the release, e.g. `keepalived/keepalived.conf`. */
  readonly path: string;
  readonly mode: '0644' | '0640' | '0755';
  /** SHA-256 of the text, lowercase hex. */
  readonly sha256: string;
  /** Bytes of UTF-8. */
  readonly size: number;
  text(): string;
}

const TEXT_CACHE_BYTES = 256 * 1024 * 1024;
const texts = new LRUCache<string, string>({ maxSize: TEXT_CACHE_BYTES, sizeCalculation: (text) => text.length + 64 });

export interface FileHead {
  path: string;
  mode?: RenderedFile['mode'];
}

/** A file whose text is rendered now, and again whenever it is wanted after it fell out of the cache. */
export function renderFile(head: FileHead, render: () => string): RenderedFile {
  const text = render();
  const sha256 = createHash('sha256').update(text).digest('hex');
  texts.set(sha256, text);
  return {
    path: head.path,
    mode: head.mode ?? '0644',
    sha256,
    size: Buffer.byteLength(text),
    text() {
      let known = texts.get(sha256);
      if (known === undefined) {
        known = render();
        texts.set(sha256, known);
      }
      return known;
    },
  };
}

/** Digest over files, of what a machine sees of them: path, mode, content. */
export function digestFiles(files: readonly RenderedFile[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file.path} ${file.mode} ${file.sha256}\n`);
  return hash.digest('hex');
}
