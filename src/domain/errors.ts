/**
 * The one operational error, and the one table of its codes: HTTP status, exit code,
 * title in English and Chinese. Anything that is thrown and is not a WeirError is a bug.
 * Imports the problems only.
 */
import type { Problem } from './problem.ts';

interface ErrorKind {
  status: number;
  /** Exit code of the CLI: 1 failed, 2 wrong usage or input. */
  exit: 1 | 2;
  en: string;
  zh: string;
}

export const errorKinds = {
  invalid: { status: 422, exit: 2, en: 'The input breaks rules of the model', zh: '输入不符合模型规则' },
  bad_request: { status: 400, exit: 2, en: 'The request cannot be read', zh: '请求无法解析' },
  too_large: { status: 413, exit: 2, en: 'The request is too large', zh: '请求过大' },
  media_type: { status: 415, exit: 2, en: 'The content type is not supported', zh: '不支持的内容类型' },
  usage: { status: 400, exit: 2, en: 'Wrong usage', zh: '用法错误' },
  unauthenticated: { status: 401, exit: 1, en: 'A valid token is needed', zh: '需要有效的令牌' },
  not_found: { status: 404, exit: 1, en: 'Not found', zh: '未找到' },
  exists: { status: 409, exit: 1, en: 'It exists already', zh: '已存在' },
  claimed: { status: 409, exit: 1, en: 'Another cluster holds it', zh: '已被其他集群占用' },
  conflict: { status: 409, exit: 1, en: 'It crosses another change', zh: '与其他变更冲突' },
  busy: { status: 409, exit: 1, en: 'Other work on the same cluster is under way', zh: '该集群正在执行其他任务' },
  revision_mismatch: { status: 412, exit: 1, en: 'The document has changed since', zh: '文档版本已变化' },
  not_published: { status: 409, exit: 1, en: 'Nothing is published there', zh: '尚未发布' },
  unresolved: { status: 422, exit: 1, en: 'Names of WSs have no address', zh: 'WS 主机名无法解析' },
  unavailable: { status: 503, exit: 1, en: 'Weir cannot answer right now', zh: '服务暂不可用' },
  store: { status: 503, exit: 1, en: 'The store failed', zh: '存储故障' },
  store_in_use: { status: 503, exit: 1, en: 'Another process uses the store', zh: '存储正被其他进程使用' },
  remote: { status: 502, exit: 1, en: 'A machine could not be reached or refused', zh: '无法连接目标机器或被拒绝' },
  failed: { status: 500, exit: 1, en: 'The work failed', zh: '执行失败' },
  internal: { status: 500, exit: 1, en: 'A fault in Weir', zh: '内部错误' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

export interface ErrorDetail {
  /** What to do next. */
  hint?: string;
  problems?: readonly Problem[];
  cause?: unknown;
  /** The current revision, where the caller's was stale. */
  revision?: number;
  /** Seconds after which a retry makes sense. */
  retryAfter?: number;
}

/** An expected failure at an edge: carries a stable code, what happened, and what to do. */
export class WeirError extends Error {
  override readonly name = 'WeirError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly problems: readonly Problem[];
  readonly revision: number | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.hint = detail.hint;
    this.problems = detail.problems ?? [];
    this.revision = detail.revision;
    this.retryAfter = detail.retryAfter;
  }
}

/** Refuses input with every problem found. The first message leads, so that one line already helps. */
export function refuse(problems: readonly Problem[], code: ErrorCode = 'invalid'): WeirError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const message = first ? `${first.path ? `${first.path}: ` : ''}${first.message}${more}` : 'refused';
  return new WeirError(code, message, { problems, ...(first ? { hint: first.hint } : {}) });
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
