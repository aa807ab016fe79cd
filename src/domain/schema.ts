/**
 * Parsing at the border: a TypeBox schema decides the shape of a value, and every deviation
 * becomes a Problem with path, code and hint. Unknown keys are always errors.
 * The named formats below are the only text that the model lets through to a configuration file.
 */
import Type from 'typebox';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Validator } from 'typebox/compile';
import Format from 'typebox/format';
import { Settings } from 'typebox/system';
import { isUnicast, looksLikeIPv6, parseAddress, parseMask, parseNet, parseRange } from './address.ts';
import { error, show } from './problem.ts';
import type { Problem } from './problem.ts';

Settings.Set({ maxErrors: 200 });

interface FormatRule {
  test: (text: string) => boolean;
  /** Never shown, not even when it is malformed. */
  secret?: true;
  code: string;
  is: string;
  hint: string;
}

/** Not by toLowerCase(), which makes ASCII of the Kelvin sign. */
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** RFC 1123: labels of 1 to 63 letters, digits, hyphens; at most 253 in all; not a number alone, which a resolver reads as an address. */
export function isHostname(text: string): boolean {
  return text.length <= 253 && text.split('.').every((part) => label.test(part)) && !/^[\d.]+$/.test(text);
}

const formats: Record<string, FormatRule> = {
  address: {
    test: (t) => isUnicast(parseAddress(t) ?? 0),
    code: 'bad_address',
    is: 'a unicast IPv4 address',
    hint: 'write four decimal octets without leading zeros, e.g. 10.0.19.226',
  },
  'router-id': {
    test: (t) => (parseAddress(t) ?? 0) !== 0,
    code: 'bad_router_id',
    is: 'a router-id',
    hint: 'write four decimal octets, not 0.0.0.0, e.g. 60.29.246.186',
  },
  area: {
    test: (t) => parseAddress(t) !== undefined,
    code: 'bad_area',
    is: 'an OSPF area as a dotted quad',
    hint: 'write the backbone as 0.0.0.0',
  },
  mask: {
    test: (t) => {
      const prefix = parseMask(t);
      return prefix !== undefined && prefix >= 8;
    },
    code: 'bad_mask',
    is: 'a netmask of 8 to 32 bits',
    hint: 'write a contiguous dotted mask, e.g. 255.255.255.224',
  },
  net: {
    test: (t) => {
      const net = parseNet(t);
      return net !== undefined && net.prefix >= 8 && isUnicast(net.base);
    },
    code: 'bad_net',
    is: 'an IPv4 net of /8 to /32',
    hint: 'write the network address and prefix, with no bit behind the prefix, e.g. 60.28.208.0/25',
  },
  range: {
    test: (t) => {
      const range = parseRange(t);
      return range !== undefined && isUnicast(range.first) && isUnicast(range.last);
    },
    code: 'bad_range',
    is: 'an address or a range of at most 4096 addresses',
    hint: 'write 10.0.19.227, 10.0.19.227-234 or 10.0.19.227-10.0.19.234',
  },
  hostname: {
    test: isHostname,
    code: 'bad_hostname',
    is: 'a hostname (RFC 1123)',
    hint: 'use letters, digits, hyphens and dots, e.g. apps-ngx1-bgp0.hy01',
  },
  interface: {
    test: (t) => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(t),
    code: 'bad_interface',
    is: 'a Linux interface name',
    hint: 'use at most 15 letters, digits, dots, hyphens or underscores, e.g. em1 or bond0.100',
  },
  name: {
    test: (t) => /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/.test(t),
    code: 'bad_name',
    is: 'a name',
    hint: 'use 1 to 128 letters, digits, dots, hyphens and underscores, starting and ending with a letter or digit',
  },
  'check-path': {
    test: (t) => /^\/[A-Za-z0-9._~%/?&=+,:@-]{0,199}$/.test(t),
    code: 'bad_path',
    is: 'a path of a health check',
    hint: 'start with /, use letters, digits and ._~%/?&=+,:@- only, at most 200 characters',
  },
  md5: {
    test: (t) => /^[0-9a-f]{32}$/.test(t),
    code: 'bad_digest',
    is: 'an MD5 digest in lowercase hex',
    hint: 'take it with: curl -s URL | md5sum',
  },
  'ospf-key': {
    secret: true,
    test: (t) => /^(?:secret:[A-Za-z0-9._-]{1,160}|[A-Za-z0-9_.+/=@%^*~-]{1,16})$/.test(t),
    code: 'bad_ospf_key',
    is: 'an OSPF key or a reference to one',
    hint: 'use 1 to 16 letters, digits and _.+/=@%^*~- ; a reference reads secret:NAME',
  },
  text: {
    test: (t) => t.length <= 200 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(t),
    code: 'bad_text',
    is: 'a line of text',
    hint: 'at most 200 characters, no control characters or line breaks',
  },
  user: {
    test: (t) => /^[a-z_][a-z0-9_.-]{0,31}$/i.test(t),
    code: 'bad_user',
    is: 'a login name',
    hint: 'use at most 32 letters, digits, dots, hyphens or underscores',
  },
};

for (const [name, rule] of Object.entries(formats)) Format.Set(name, rule.test);

/** A string of one of the named formats. */
export function text(format: string, description: string): ReturnType<typeof Type.String> {
  return Type.String({ format, description, maxLength: 1000 });
}

/** An object that refuses keys it does not know. */
export const strict = { additionalProperties: false } as const;

const compiled = new WeakMap<TSchema, Validator>();

function validatorOf(schema: TSchema): Validator {
  let validator = compiled.get(schema);
  if (!validator) {
    validator = Compile(schema);
    compiled.set(schema, validator);
  }
  return validator;
}

export type Parsed<T> = { ok: true; value: T } | { ok: false; problems: Problem[] };

/** Checks a value of unknown shape; `path` is put before the paths of its problems. */
export function parse<S extends TSchema>(schema: S, value: unknown, path = ''): Parsed<Static<S>> {
  const validator = validatorOf(schema);
  if (validator.Check(value)) return { ok: true, value: value as Static<S> };
  const problems = new Map<string, Problem>();
  for (const found of validator.Errors(value)) {
    for (const p of toProblems(found, { schema, value, path })) {
      const key = `${p.path} ${p.code}`;
      if (!problems.has(key)) problems.set(key, p);
    }
  }
  return { ok: false, problems: [...problems.values()] };
}

interface SchemaError {
  keyword: string;
  schemaPath: string;
  instancePath: string;
  params: Record<string, unknown>;
  message: string;
}

interface Subject {
  schema: TSchema;
  value: unknown;
  path: string;
}

function toProblems(found: SchemaError, subject: Subject): Problem[] {
  const steps = found.instancePath.split('/').slice(1).map(unescapeStep);
  const path = joinPath(subject.path, steps, subject.value);
  // Each branch of a union finds its own fault; the union's, which follows, names all that is allowed.
  if (/\/anyOf\/\d+$/.test(found.schemaPath)) return [];
  const value = found.schemaPath.endsWith('/propertyNames') ? steps.at(-1) : valueAt(subject.value, steps);
  switch (found.keyword) {
    case 'boolean':
    // What is wrong with a name is found by itself.
    case 'propertyNames':
      return [];
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return unknownFields(found, path, schemaAt(subject.schema, found.schemaPath));
    case 'required':
      return names(found.params['requiredProperties']).map((name) =>
        error(dot(path, name), { code: 'missing', message: `${name} is missing`, hint: `add ${name}` }),
      );
    case 'type':
      return [
        error(path, {
          code: 'wrong_type',
          message: `must be ${article(String(found.params['type']))}, not ${show(value)}`,
          hint: 'see the schema at /docs',
        }),
      ];
    case 'format':
      return [formatProblem(path, String(found.params['format']), value)];
    case 'const':
    case 'enum':
    case 'anyOf':
      return [notAllowed(path, value, schemaAt(subject.schema, found.schemaPath))];
    case 'minimum':
    case 'maximum':
      return [
        error(path, {
          code: 'out_of_range',
          message: `${show(value)} ${found.message}`,
          hint: rangeHint(schemaAt(subject.schema, found.schemaPath)),
        }),
      ];
    default:
      return [
        error(path, {
          code: 'invalid_value',
          message: `${show(value)} ${found.message}`,
          hint: 'see the schema at /docs',
        }),
      ];
  }
}

function formatProblem(path: string, format: string, value: unknown): Problem {
  const rule = formats[format];
  if (
    typeof value === 'string' &&
    looksLikeIPv6(value) &&
    rule !== undefined &&
    /bad_(address|net|range|mask)/.test(rule.code)
  ) {
    return error(path, {
      code: 'ipv6_unsupported',
      message: `${show(value)} is IPv6, which Weir does not carry yet`,
      hint: 'use an IPv4 address',
    });
  }
  return error(path, {
    code: rule?.code ?? 'invalid_value',
    message: `${rule?.secret === true ? 'what was given' : show(value)} is not ${rule?.is ?? format}`,
    hint: rule?.hint ?? 'see the schema at /docs',
  });
}

function unknownFields(found: SchemaError, path: string, schema: Record<string, unknown> | undefined): Problem[] {
  const known = Object.keys((schema?.['properties'] as object | undefined) ?? {});
  return names(found.params['additionalProperties']).map((name) => {
    const near = nearest(name, known);
    return error(dot(path, name), {
      code: 'unknown_field',
      message: `unknown field ${show(name)}`,
      hint: near ? `did you mean ${near}?` : `known here: ${known.join(', ') || 'none'}`,
    });
  });
}

function notAllowed(path: string, value: unknown, schema: Record<string, unknown> | undefined): Problem {
  const branches = (schema?.['anyOf'] as Record<string, unknown>[] | undefined) ?? (schema ? [schema] : []);
  const allowed = branches.flatMap((b) => ('const' in b ? [b['const']] : ((b['enum'] as unknown[] | undefined) ?? [])));
  return error(path, {
    code: 'not_allowed',
    message: `${show(value)} is not allowed here`,
    hint: allowed.length > 0 ? `one of: ${allowed.map(String).join(', ')}` : 'see the schema at /docs',
  });
}

function rangeHint(schema: Record<string, unknown> | undefined): string {
  return `use ${String(schema?.['minimum'] ?? 'any')} to ${String(schema?.['maximum'] ?? 'any')}`;
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function article(type: string): string {
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function unescapeStep(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}

function valueAt(value: unknown, steps: readonly string[]): unknown {
  let at: unknown = value;
  for (const step of steps)
    at = at !== null && typeof at === 'object' ? (at as Record<string, unknown>)[step] : undefined;
  return at;
}

function schemaAt(schema: TSchema, pointer: string): Record<string, unknown> | undefined {
  const at = valueAt(schema, pointer.replace(/^#\/?/, '').split('/').filter(Boolean).map(unescapeStep));
  return at as Record<string, unknown> | undefined;
}

function joinPath(base: string, steps: readonly string[], value: unknown): string {
  let path = base;
  let at: unknown = value;
  for (const step of steps) {
    path = Array.isArray(at) ? `${path}[${step}]` : dot(path, step);
    at = at !== null && typeof at === 'object' ? (at as Record<string, unknown>)[step] : undefined;
  }
  return path;
}

/** `base.key`, or `base["odd key"]` where the key would not read as one step. */
export function dot(base: string, key: string): string {
  if (!/^[A-Za-z_][\w-]*$/.test(key)) return `${base}[${show(key)}]`;
  return base ? `${base}.${key}` : key;
}

/** The known word that differs least from a mistyped one, if it is near enough to be meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const start = word.slice(0, 64).toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(start.length / 3)) + 1;
  for (const candidate of known) {
    const far = distance(start, candidate.toLowerCase());
    if (far < least) [best, least] = [candidate, far];
  }
  return best;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
