/**
 * Colours, where a person looks: picocolors on its own also gives them wherever CI is set. What goes
 * to a stream that is no terminal loses them again in program.ts.
 */
import pc from 'picocolors';

const { env, stdout, stderr } = process;

export const colours = pc.createColors(!env['NO_COLOR'] && [stdout, stderr].some((stream) => stream.isTTY === true));
