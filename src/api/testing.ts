/** The API over jobs whose machines a test plays. Only tests import it. */
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import { pino } from 'pino';
import { openJobs } from '../jobs/testing.ts';
import type { Jobs, JobsOptions } from '../jobs/testing.ts';
import { createApp } from './app.ts';

export const adminToken = 'token';

export interface Api {
  app: FastifyInstance;
  jobs: Jobs;
  /** A request below /api/v1. */
  send(method: 'GET' | 'POST', path: string, body?: object): Promise<LightMyRequestResponse>;
  close(): Promise<void>;
}

export async function openApi(options: JobsOptions = {}): Promise<Api> {
  const jobs = await openJobs(options);
  const app = await createApp(
    { ...jobs, adminToken, version: '0' },
    { logger: pino({ level: 'silent' }), bodyLimit: 1024 * 1024 },
  );
  return {
    app,
    jobs,
    send: (method, path, body) =>
      app.inject({
        method,
        url: `/api/v1${path}`,
        headers: { authorization: `Bearer ${adminToken}` },
        ...(body === undefined ? {} : { payload: body }),
      }),
    async close() {
      await app.close();
      await jobs.close();
    },
  };
}
