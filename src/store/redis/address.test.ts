import { describe, expect, test } from 'vitest';
import { isRedisAddress, readRedisAddress } from './address.ts';

describe('the address of a Redis', () => {
  test.each([
    ['redis://h', { host: 'h', port: 6379, db: 1 }, 'redis://h:6379/1'],
    ['redis://h:7000/0', { host: 'h', port: 7000, db: 0 }, 'redis://h:7000/0'],
    ['redis://[::1]:7000/3', { host: '::1', port: 7000, db: 3 }, 'redis://[::1]:7000/3'],
    ['redis://:p%40ss@h', { host: 'h', port: 6379, db: 1, password: 'p@ss' }, 'redis://h:6379/1'],
    ['redis://weir:a:b@h', { host: 'h', port: 6379, db: 1, username: 'weir', password: 'a:b' }, 'redis://h:6379/1'],
    ['rediss://h', { host: 'h', port: 6379, db: 1, tls: {} }, 'rediss://h:6379/1'],
  ])('%s', (text, options, description) => {
    expect(isRedisAddress(text)).toBe(true);
    expect(readRedisAddress(text)).toEqual({ options, description });
  });

  test('of Sentinels names the master, and their own login', () => {
    const text = 'redis+sentinel://u:p@s1,s2:7000/2?master=weir&sentinel_password=q';
    expect(readRedisAddress(text)).toEqual({
      options: {
        db: 2,
        username: 'u',
        password: 'p',
        sentinelPassword: 'q',
        sentinels: [
          { host: 's1', port: 26379 },
          { host: 's2', port: 7000 },
        ],
        name: 'weir',
        failoverDetector: true,
      },
      description: 'redis+sentinel://s1:26379,s2:7000/2?master=weir',
    });
    expect(readRedisAddress('rediss+sentinel://s1?master=weir').options).toMatchObject({
      tls: {},
      sentinelTLS: {},
      enableTLSForSentinelMode: true,
    });
  });

  test.each([
    ['redis:h', 'it is not redis://'],
    ['redis://', 'is not HOST'],
    ['redis://h:0', 'h:0 is not HOST'],
    ['redis://h:70000', 'is not HOST'],
    ['redis://h/one', 'one is no number'],
    ['redis://h,i', 'several hosts'],
    ['redis://h?ca=/nowhere/ca.pem&x=1', '?x= is not known'],
    ['rediss://h?ca=/nowhere/ca.pem', '/nowhere/ca.pem: ENOENT'],
    ['redis+sentinel://s1', '?master=NAME'],
    ['redis://h?master=weir', '?master= is not known'],
    ['redis://a%ZZ:b@h', 'is written %25'],
  ])('%s is refused as wrong usage', (text, why) => {
    expect(() => readRedisAddress(text)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringContaining(why) }),
    );
  });

  test('no message shows what stands before the @', () => {
    for (const text of ['redis://secret:word@h/x', 'redis://secret:word@', 'redis://secret:word@h?x=1']) {
      expect(() => readRedisAddress(text)).toThrow(
        expect.objectContaining({ message: expect.not.stringMatching(/word|secret/) }),
      );
    }
    expect(readRedisAddress('redis://secret:word@h').description).not.toMatch(/secret|word/);
  });

  test('other stores have none', () => {
    for (const text of ['', 'sqlite:/a', 'http://h', 'redisx://h']) expect(isRedisAddress(text)).toBe(false);
  });
});
