// @ts-check
// One stream of a tenant's live view: reads it, keeps the live view, and passes changes on in batches.
// It knows nothing about pages, so that it can run in a worker that all pages of a browser share.

/** Changes are handed on this often at most, in milliseconds. */
const GATHER = 250;
/** Without a word for this long the line is broken; the daemon says something every 15 s. */
const SILENCE = 45000;
/** Agents of one subscription at most. */
const ONE_PART = 500;
/** Waits between tries, in milliseconds. */
const RETRIES = [1000, 2000, 4000, 8000, 15000];

/** @typedef {{ id: string, [more: string]: any }} Thing */
/** @typedef {{ state: 'connecting' | 'following' | 'broken' | 'refused', status?: number, why?: string, since: number }} Standing */
/** @typedef {{ kind: 'picture' | 'news', at: string, seen_at: string | null, standing: Standing, agents: Thing[], gone: string[], skills: Thing[], queues: Thing[], transitions: Thing[] }} News */

export class Line {
  /** @param {string} tenant @param {(news: News) => void} tell */
  constructor(tenant, tell) {
    this.tenant = tenant;
    this.tell = tell;
    /** @type {Map<string, Thing>} */ this.agents = new Map();
    /** @type {Map<string, Thing>} */ this.skills = new Map();
    /** @type {Map<string, Thing>} */ this.queues = new Map();
    this.at = '';
    /** @type {string | null} */ this.seenAt = null;
    this.whole = false;
    this.lastId = '';
    this.tries = 0;
    this.stopped = false;
    /** @type {Standing} */ this.standing = { state: 'connecting', since: Date.now() };
    /** @type {AbortController | null} */ this.request = null;
    this.heard = Date.now();
    this.forget();
    this.watch = setInterval(() => this.lookForSilence(), 5000);
    this.connect();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.watch);
    this.request?.abort();
  }

  forget() {
    /** @type {Set<string>} */ this.changed = new Set();
    /** @type {Set<string>} */ this.gone = new Set();
    /** @type {Map<string, Thing>} */ this.figures = new Map();
    /** @type {Thing[]} */ this.transitions = [];
    this.anew = false;
  }

  /** The whole picture, for a page that has just come. @returns {News} */
  picture() {
    return {
      kind: this.whole ? 'picture' : 'news', at: this.at, seen_at: this.seenAt, standing: this.standing, agents: this.whole ? [...this.agents.values()] : [],
      gone: [], skills: [...this.skills.values()], queues: [...this.queues.values()], transitions: [],
    };
  }

  /** @param {Standing['state']} state @param {Partial<Standing>} [more] */
  stand(state, more = {}) {
    if (this.standing.state !== state) this.standing = { state, since: Date.now(), ...more };
    this.soon();
  }

  soon() {
    if (this.timer || this.stopped) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.flush();
    }, GATHER);
  }

  flush() {
    if (this.anew && this.whole) {
      this.forget();
      this.tell(this.picture());
      return;
    }
    const agents = [...this.changed].map((id) => this.agents.get(id)).filter((agent) => agent !== undefined);
    const figures = [...this.figures.values()];
    this.tell({
      kind: 'news', at: this.at, seen_at: this.seenAt, standing: this.standing, agents: /** @type {Thing[]} */ (agents), gone: [...this.gone],
      skills: figures.filter((one) => one.kind === 'skill'), queues: figures.filter((one) => one.kind === 'queue'), transitions: this.transitions,
    });
    const anew = this.anew;
    this.forget();
    this.anew = anew;
  }

  lookForSilence() {
    if (this.standing.state === 'following' && Date.now() - this.heard > SILENCE) {
      this.stand('broken', { why: 'No data from the daemon for 45 seconds.' });
      this.request?.abort();
    }
  }

  async connect() {
    if (this.stopped) return;
    const query = new URLSearchParams({ tenant: this.tenant });
    if (this.lastId && this.whole) query.set('after', this.lastId);
    this.request = new AbortController();
    let wait = RETRIES[Math.min(this.tries, RETRIES.length - 1)];
    try {
      const response = await fetch(`/live/events?${query}`, { headers: { Accept: 'text/event-stream' }, credentials: 'same-origin', cache: 'no-store', signal: this.request.signal });
      if (!response.ok || !response.body) {
        const problem = await response.json().catch(() => null);
        const state = [401, 403, 404].includes(response.status) ? 'refused' : 'broken';
        this.stand(state, { status: response.status, why: problem?.detail || `The daemon answered ${response.status}.` });
        if (response.status === 401) wait = 15000;
      } else {
        this.tries = 0;
        this.heard = Date.now();
        wait = await this.read(response.body);
      }
    } catch {
      // The lost connection is reported below, whatever the cause.
    }
    if (this.stopped) return;
    this.tries += 1;
    if (this.standing.state !== 'refused') this.stand('broken', { why: 'The connection to the daemon is lost.' });
    setTimeout(() => this.connect(), wait * (0.8 + Math.random() * 0.4));
  }

  /** Reads events until the line ends; gives after which wait to come back. @param {ReadableStream<Uint8Array>} body */
  async read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    let retry = RETRIES[0];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return retry;
      this.heard = Date.now();
      rest += value;
      const events = rest.split('\n\n');
      rest = events.pop() || '';
      for (const event of events) {
        for (const line of event.split('\n')) {
          if (line.startsWith('id: ')) this.lastId = line.slice(4);
          else if (line.startsWith('data: ')) this.take(JSON.parse(line.slice(6)));
          else if (line.startsWith('retry: ')) retry = Number(line.slice(7)) || retry;
        }
      }
      this.stand('following');
    }
  }

  /** @param {any} message */
  take(message) {
    if (message.at) this.at = message.at;
    switch (message.type) {
      case 'snapshot':
        if (message.part === 1) {
          this.agents.clear();
          this.whole = false;
        }
        this.seenAt = message.seen_at;
        for (const agent of message.agents) this.agents.set(agent.id, agent);
        for (const skill of message.skills) this.skills.set(skill.id, { ...skill, kind: 'skill' });
        for (const queue of message.queues) this.queues.set(queue.id, { ...queue, kind: 'queue' });
        if (message.part === message.parts) {
          this.whole = true;
          this.anew = true;
        }
        break;
      case 'agent':
        // A replayed row says less than the whole live view that follows it.
        if (!message.replayed) {
          this.change(message.agent.id, message.agent);
          this.seen(message.agent);
        }
        break;
      case 'adherence':
        this.change(message.agent, { adherence: message.adherence, planned: message.planned });
        break;
      case 'transition': {
        const { transition } = message;
        this.transitions.push(transition);
        const known = this.agents.get(transition.agent);
        if (known && (transition.open || known.open?.id === transition.id)) this.change(transition.agent, { open: transition.open ? transition : null });
        break;
      }
      case 'skill':
        this.skills.set(message.skill.id, { ...message.skill, kind: 'skill' });
        this.figures.set(`skill ${message.skill.id}`, { ...message.skill, kind: 'skill' });
        break;
      case 'queue':
        this.queues.set(message.queue.id, { ...message.queue, kind: 'queue' });
        this.figures.set(`queue ${message.queue.id}`, { ...message.queue, kind: 'queue' });
        break;
      case 'gone':
        this.agents.delete(message.agent);
        this.changed.delete(message.agent);
        this.gone.add(message.agent);
        break;
      case 'heartbeat':
        this.seenAt = message.tenants.find((/** @type {any} */ one) => one.tenant === this.tenant)?.seen_at ?? this.seenAt;
        break;
      case 'end':
        if (message.reason === 'not_permitted') this.stand('refused', { status: 401, why: 'You no longer have access to this page. Sign in again.' });
        break;
    }
    this.soon();
  }

  /** The picture is as old as its oldest part. Up to so many agents it is of one part, and whoever a snapshot shows anew tells
   * its age; of more parts only a heartbeat tells. @param {any} agent */
  seen(agent) {
    const newer = this.seenAt && agent.seen_at && Date.parse(agent.seen_at) > Date.parse(this.seenAt);
    if (newer && agent.source === 'snapshot' && this.agents.size <= ONE_PART) this.seenAt = agent.seen_at;
  }

  /** @param {string} id @param {any} news */
  change(id, news) {
    const known = this.agents.get(id);
    if (!known && !news.state) return;
    this.agents.set(id, { .../** @type {any} */ (known), ...news, id });
    this.gone.delete(id);
    this.changed.add(id);
  }
}
