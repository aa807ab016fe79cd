/** The API over jobs whose machines a test plays. Only tests import it. */
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import { pino } from 'pino';
import { openJobs } from '../jobs/testing.ts';
import type { Jobs, JobsOptions } from '../jobs/testing.ts';
import type { State } from '../store/state.ts';
import { createApp } from './app.ts';
import type { AppOptions } from './app.ts';

export const adminToken = 'token';

export interface Api {
  app: FastifyInstance;
  /** Warnings and errors of the log. */
  logged: Record<string, unknown>[];
  jobs: Jobs;
  /** A request below /api/v1. */
  send(method: 'GET' | 'POST', path: string, body?: object): Promise<LightMyRequestResponse>;
  close(): Promise<void>;
}

export interface ApiOptions extends JobsOptions {
  original?: Partial<AppOptions['original']>;
  /** What the API gets in the place of the jobs' own. */
  state?: (real: State) => State;
}

export async function openApi(options: ApiOptions = {}): Promise<Api> {
  const jobs = await openJobs(options);
  const logged: Record<string, unknown>[] = [];
  const lines = { write: (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>) };
  const app = await createApp(
    { ...jobs, state: options.state?.(jobs.state) ?? jobs.state, adminToken, version: '0' },
    {
      logger: pino({ level: 'warn' }, lines),
      bodyLimit: 1024 * 1024,
      original: { networks: [], patienceMs: 1000, ...options.original },
    },
  );
  return {
    app,
    logged,
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
