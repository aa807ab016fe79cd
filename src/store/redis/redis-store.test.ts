import { afterAll, beforeAll, describe } from 'vitest';
import { storeContract } from '../store.contract.ts';
import { openRedisStore } from './redis-store.ts';
import { hasRedis, startRedis } from './testing.ts';
import type { RedisServer } from './testing.ts';

describe.skipIf(!hasRedis)('on a real Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.close());

  storeContract('the Redis store', async () => {
    await redis.client.flushall();
    const open = () => openRedisStore(redis.url, { clock: 'caller' });
    let store = await open();
    return {
      store,
      reopen: async () => {
        await store.close();
        return (store = await open());
      },
      cleanup: () => store.close(),
    };
  });
});
