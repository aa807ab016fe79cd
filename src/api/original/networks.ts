/** Networks whose requests the setting `original_networks` lets in without a token, for the original's API alone. */
import { contains, parseAddress, parseNet } from '../../domain/address.ts';
import type { Net } from '../../domain/address.ts';
import { WeirError } from '../../domain/errors.ts';

/** Reads `10.0.0.0/8,127.0.0.1`; throws with everything in it that is neither a net nor an address. */
export function readNetworks(text: string): Net[] {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const wrong = parts.filter((part) => !netOf(part));
  if (wrong.length > 0) {
    throw new WeirError('usage', `WEIR_ORIGINAL_NETWORKS: ${wrong.join(', ')} is not an IPv4 net or address`, {
      hint: 'write nets without bits behind their prefix, and addresses, separated by commas, e.g. 10.0.0.0/8,127.0.0.1',
    });
  }
  return parts.flatMap((part) => netOf(part) ?? []);
}

function netOf(text: string): Net | undefined {
  const address = parseAddress(text);
  return address === undefined ? parseNet(text) : { base: address, prefix: 32 };
}

/** The IPv4 address of a socket, if it is in one of the networks. */
export function addressWithin(networks: readonly Net[], remote: string | undefined): string | undefined {
  // A socket that listens on :: has IPv4 clients as ::ffff:10.0.0.1.
  const address = remote?.replace(/^::ffff:/i, '') ?? '';
  const number = parseAddress(address);
  return number !== undefined && networks.some((net) => contains(net, number)) ? address : undefined;
}
