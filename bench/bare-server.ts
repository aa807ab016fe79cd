/** The least that node:http can do for a token check and a fixed answer: what Weir's lookups stand beside. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const [token = '', body = ''] = process.argv.slice(2);
const expected = createHash('sha256').update(token).digest();
const answer = Buffer.from(body, 'base64');

const server = createServer((request, response) => {
  const header = request.headers.authorization ?? '';
  const given = createHash('sha256').update(header.slice(7)).digest();
  if (!header.startsWith('Bearer ') || !timingSafeEqual(given, expected)) {
    response.writeHead(401).end();
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': answer.length });
  response.end(answer);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`listening ${typeof address === 'object' ? address?.port : ''}`);
});
