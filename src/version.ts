/** The version of this package. */
import { readFileSync } from 'node:fs';
import { projectFile } from './project.ts';

export const version = (JSON.parse(readFileSync(projectFile('package.json'), 'utf8')) as { version: string }).version;
