/** Who follows the events of this process. */
import type { StoreEvent } from './port.ts';

export type Listener = (event: StoreEvent) => void;

/** `onError` hears what a listener threw; it concerns neither the commit nor the other listeners. */
export function followersOf(onError: (thrown: unknown) => void) {
  const followers = new Set<{ tell: Listener }>();
  const waiting: StoreEvent[] = [];
  let delivering = false;

  /** Answers how to stop. The same listener may follow twice. */
  function follow(listener: Listener): () => void {
    const follower = { tell: listener };
    followers.add(follower);
    return () => void followers.delete(follower);
  }

  /** In the order of commits, also where a listener itself commits and so delivers in the midst of a delivery. */
  function deliver(event: StoreEvent): void {
    waiting.push(event);
    if (delivering) return;
    delivering = true;
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const present = [...followers];
      for (const follower of present) if (followers.has(follower)) tell(follower.tell, next);
    }
    delivering = false;
  }

  function tell(listener: Listener, event: StoreEvent): void {
    try {
      listener(event);
    } catch (thrown) {
      queueMicrotask(() => onError(thrown));
    }
  }

  return { follow, deliver };
}
