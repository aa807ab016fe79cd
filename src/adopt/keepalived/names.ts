/** Names of WSs by their addresses. */
import type { Drafting } from './draft.ts';

/** Names of WSs: those of the base, else of the hosts file, else made from the address. */
export class Names {
  readonly #known: ReadonlyMap<string, string>;
  readonly #made = new Set<string>();

  constructor({ base, names }: Drafting) {
    const ofBase = base.vip2ws.flatMap((vip) =>
      Object.entries(vip.wsattrs ?? {}).flatMap(([ws, attrs]) =>
        attrs.address === undefined ? [] : [[attrs.address, ws] as const],
      ),
    );
    this.#known = new Map([...names, ...ofBase]);
  }

  get made(): number {
    return this.#made.size;
  }

  /** In the order of the addresses; no two of a VIP are the same. */
  of(addresses: readonly string[]): string[] {
    const used = new Set<string>();
    return addresses.map((address) => {
      const known = this.#known.get(address);
      const fits = known !== undefined && !used.has(known.toLowerCase());
      const name = fits ? known : `ws-${address.replaceAll('.', '-')}`;
      if (!fits) this.#made.add(address);
      used.add(name.toLowerCase());
      return name;
    });
  }
}
