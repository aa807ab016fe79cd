/**
 * The remote port over the system's OpenSSH client: one process per session, with an argument array.
 * The operator's ssh_config says how a machine is reached (keys, jump hosts, users); what keeps a session
 * safe and free of prompts is set here and cannot be weakened there: ssh takes the first value it is given,
 * and the command line comes first. May be imported by server.ts and tests; others take the port.
 */
import type { Remote, Target } from './port.ts';
import { startSession } from './session.ts';

export interface SshOptions {
  /** An ssh_config for `ssh -F`; default: the user's own and the system's. */
  readonly configFile?: string;
  /** Seconds for the connection up to the machine's banner; default 10. */
  readonly connectTimeoutSeconds?: number;
  /** The OpenSSH client; default `ssh` from the PATH. */
  readonly program?: string;
}

/** Options of every session: ssh_config(5). */
const fixedOptions = [
  // Older clients do not know all of these.
  'IgnoreUnknown=StdinNull,SessionType,ForkAfterAuthentication,UpdateHostKeys',
  'StdinNull=no',
  'SessionType=default',
  'ForkAfterAuthentication=no',
  'BatchMode=yes',
  'StrictHostKeyChecking=yes',
  'NoHostAuthenticationForLocalhost=no',
  // Weir reads known_hosts and never writes it.
  'UpdateHostKeys=no',
  // A shared connection would be one whose host key was checked by others' rules, and whose master outlives
  // the session with its standard error open.
  'ControlMaster=no',
  'ControlPath=none',
  // A dead machine is noticed after 15 s, whatever the time limit of the session.
  'ServerAliveInterval=5',
  'ServerAliveCountMax=3',
  'ClearAllForwardings=yes',
  'ForwardAgent=no',
  'ForwardX11=no',
  'PermitLocalCommand=no',
  'RemoteCommand=none',
  // QUIET in a configuration would hide why a connection failed.
  'LogLevel=INFO',
] as const;

export function openSsh(options: SshOptions = {}): Remote {
  const program = options.program ?? 'ssh';
  return {
    run: (target, command, runOptions) =>
      startSession(program, [...sshArguments(options, target), command], runOptions),
  };
}

function sshArguments({ configFile, connectTimeoutSeconds = 10 }: SshOptions, target: Target): string[] {
  return [
    ...(configFile === undefined ? [] : ['-F', configFile]),
    '-T',
    ...[...fixedOptions, `ConnectTimeout=${connectTimeoutSeconds}`].flatMap((option) => ['-o', option]),
    ...(target.user === undefined ? [] : ['-l', target.user]),
    ...(target.port === undefined ? [] : ['-p', String(target.port)]),
    ...(target.address === undefined ? [] : ['-o', `HostName=${target.address}`]),
    '--',
    target.host,
  ];
}
