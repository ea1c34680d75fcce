/**
 * One read for all who ask at the same time. Nobody is given the answer of a read that began before they asked: it may be older than what
 * they know. So whoever finds a read under way waits for the next one, with all others who wait; whoever finds none causes one at once.
 */
export class SharedRead<T> {
  readonly #read: () => Promise<T>;
  #underWay: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  get(): Promise<T> {
    if (this.#underWay === undefined) return this.#start();
    this.#next ??= this.#underWay.then(this.#startNext, this.#startNext);
    return this.#next;
  }

  readonly #startNext = (): Promise<T> => {
    this.#next = undefined;
    return this.#start();
  };

  #start(): Promise<T> {
    const done = (): void => {
      if (this.#underWay === read) this.#underWay = undefined;
    };
    const read = this.#read();
    this.#underWay = read;
    read.then(done, done);
    return read;
  }
}
