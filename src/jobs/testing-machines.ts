/** Machines that answer a command as they are told. Only tests import it. */
import type { Remote, RemoteExit, Target } from '../remote/port.ts';

export interface Machine {
  answer?: string;
  exit?: Partial<RemoteExit>;
}

/** One session, as it was asked for. */
export interface Asked {
  target: Target;
  command: string;
  request: string;
  signal: AbortSignal | undefined;
}

/** Machines by name; others answer `otherwise`. Sessions are put down in `asked`. */
export function answeringRemote(machines: Record<string, Machine>, otherwise: string, asked: Asked[]): Remote {
  return {
    run(target, command, { signal }) {
      const { answer = '', exit = {} } = machines[target.host] ?? { answer: otherwise };
      const call = { target, command, request: '', signal };
      asked.push(call);
      async function* lines(): AsyncGenerator<string> {
        yield* answer.split('\n');
      }
      return {
        lines: lines(),
        write: async (data) => void (call.request += Buffer.from(data).toString()),
        end() {},
        kill() {},
        done: Promise.resolve({ code: 0, stderr: '', timedOut: false, bytesSent: 0, bytesReceived: 0, ...exit }),
      };
    },
  };
}
