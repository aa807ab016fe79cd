/** Texts without the digests, which change with the scripts; cluster.test.ts holds them against the files. Only tests import it. */
export function steady(text: string): string {
  return text
    .replaceAll(/\b(announce|weir)-[0-9a-f]{12}\b/g, '$1-DIGEST')
    .replaceAll(/\bweir-[0-9a-f]{10}\b/g, 'weir-LOADS')
    .replaceAll(/"(release|loads)": "[0-9a-f]+"/g, '"$1": "DIGEST"')
    .replaceAll(/"sha256":"[0-9a-f]{64}","size":\d+/g, '"sha256":"DIGEST","size":"BYTES"');
}
