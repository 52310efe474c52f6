
// What is known of one subject at one service. All elements of a page that show the same in one language share a feed: one
// session, one stream, one refresh. It works while at least one of them is in the page and the page is visible.
//
// The session's token lives in a private field: never in an address, in the storage or in an attribute that stays.

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 60000;
// The service says something every 15 seconds, be it only that it is still there.
const SILENCE = 45000;
// Opening the page is enough to have refreshed what is due; so is coming back to it after a while.
const REFRESH_AGAIN = 60000;
const POLL = 30000;
// How long the page may take to bring a session before it is asked again.
const PATIENCE = 15000;

class SessionNeeded extends Error {}

class Feed {
  static #all = new Map();

  static of(base, subject, language) {
    const name = JSON.stringify([base, subject, language]);
    if (!Feed.#all.has(name)) Feed.#all.set(name, new Feed(base, subject, language));
    return Feed.#all.get(name);
  }

  // The last health that was heard, and whether nothing can be heard for longer than a moment.
  health = null;
  lost = false;
  #address;
  #subject;
  #language;
  #session = null;
  #sessionCame = () => {};
  // Element → what to call when something was heard.
  #elements = new Map();
  #running = null;
  #refreshedAt = -Infinity;
  #failures = 0;

  constructor(base, subject, language) {
    this.#address = `${base}/v1/subjects/${encodeURIComponent(subject)}`;
    this.#subject = subject;
    this.#language = language;
    document.addEventListener("visibilitychange", () => this.#look());
    window.addEventListener("pageshow", () => this.#look());
    window.addEventListener("pagehide", () => this.#stop());
  }

  add(element, heard) {
    this.#elements.set(element, heard);
    this.#look();
  }

  // One that is only moved in the page is back at once.
  remove(element) {
    this.#elements.delete(element);
    queueMicrotask(() => this.#look());
  }

  set session(token) {
    this.#session = token;
    this.#sessionCame();
  }

  #look() {
    const wanted = this.#elements.size > 0 && document.visibilityState === "visible";
    if (!wanted) this.#stop();
    if (wanted && this.#running === null) {
      this.#running = new AbortController();
      this.#run(this.#running.signal);
    }
  }

  #stop() {
    if (this.#running !== null) this.#running.abort();
    this.#running = null;
  }

  async #run(signal) {
    while (!signal.aborted) {
      let after = null;
      try {
        const token = await this.#token(signal);
        this.#refreshWhatIsDue(token, signal);
        await this.#follow(token, signal);
      } catch (error) {
        if (signal.aborted) return;
        after = error.retryAfter || null;
        this.#failures += 1;
        if (this.#failures > 2 && !this.lost) this.#tell(this.health, true);
        if (error instanceof SessionNeeded) {
          this.#session = null;
          // It has only ended, mostly: asked for at once.
          if (this.#failures === 1) continue;
        }
      }
      const pause = Math.min(FIRST_PAUSE * 2 ** Math.min(this.#failures, 10), LONGEST_PAUSE);
      // Spread, so that the pages of many people do not come back at one moment.
      await this.#sessionOr((after || pause) * (0.5 + Math.random()), signal);
    }
  }

  // Waits so long, or until the page brings a session.
  #sessionOr(span, signal) {
    const came = new Promise((resolve) => (this.#sessionCame = resolve));
    return Promise.race([came, sleep(span, signal)]);
  }

  // The session's token; where there is none the page is asked for one, by an event of its first element.
  async #token(signal) {
    if (this.#session === null) {
      // The page's own scripts may come after this one; their listeners are there when all of them have run.
      if (isBeingRead()) await once(document, "DOMContentLoaded", signal);
      const [element] = this.#elements.keys();
      if (this.#session === null && element) announce(element, "evergrant-session-needed", { subject: this.#subject });
      if (this.#session === null) await this.#sessionOr(PATIENCE, signal);
    }
    if (this.#session === null) throw new SessionNeeded("no session");
    return this.#session;
  }

  #ask(path, token, options) {
    const headers = { authorization: `Bearer ${token}`, "accept-language": this.#language, ...options.headers };
    return fetch(this.#address + path, { cache: "no-store", credentials: "omit", mode: "cors", ...options, headers });
  }

  // What comes of it is heard by the stream.
  #refreshWhatIsDue(token, signal) {
    if (performance.now() - this.#refreshedAt < REFRESH_AGAIN) return;
    this.#refreshedAt = performance.now();
    this.#ask("/refresh", token, { method: "POST", signal }).catch(() => {});
  }

  async #follow(token, signal) {
    const silence = new AbortController();
    const over = AbortSignal.any([signal, silence.signal]);
    let watch = setTimeout(() => silence.abort(), SILENCE);
    try {
      const answer = await this.#ask("/health", token, { headers: { accept: "text/event-stream" }, signal: over });
      if (answer.status === 429) return await this.#poll(token, signal);
      check(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(watch);
        watch = setTimeout(() => silence.abort(), SILENCE);
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) this.#hear(event);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  // For a service that has no place for another stream: asked from time to time.
  async #poll(token, signal) {
    const answer = await this.#ask("/health", token, { headers: { accept: "application/json" }, signal });
    check(answer);
    this.#tell(await answer.json(), false);
    await sleep(POLL, signal);
  }

  #hear(event) {
    const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
    if (data.length > 0) this.#tell(JSON.parse(data.join("\n")), false);
  }

  #tell(health, lost) {
    if (!lost) this.#failures = 0;
    this.health = health;
    this.lost = lost;
    for (const heard of this.#elements.values()) heard();
  }
}

// Refuses an answer that is none; a session that does not count is asked for anew.
const check = (answer) => {
  if (answer.ok) return;
  if (answer.status === 401 || answer.status === 404) throw new SessionNeeded("the session does not count");
  const error = new Error(`the service answered ${answer.status}`);
  error.retryAfter = Math.min(Number(answer.headers.get("retry-after")) || 0, 300) * 1000;
  throw error;
};

const isBeingRead = () => {
  const [navigation] = performance.getEntriesByType("navigation");
  return document.readyState !== "complete" && navigation !== undefined && navigation.domContentLoadedEventStart === 0;
};

const announce = (element, name, detail, cancelable = false) =>
  element.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, cancelable, detail }));

// Both end early, and well, when they are not wanted any more.
const sleep = (span, signal) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, span);
    signal.addEventListener("abort", done);
  });
const once = (target, name, signal) =>
  new Promise((resolve) => {
    target.addEventListener(name, resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
