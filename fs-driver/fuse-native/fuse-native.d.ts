/** As much of fuse-native 2.2 as is used here; the package has no types of its own. Errors are negative errnos. */
declare module 'fuse-native' {
  type Done = (error: number) => void
  type Give<T> = (error: number, value?: T) => void

  /** Times in milliseconds since 1970. `ino`, `dev` and `rdev` have 32 bits. */
  export interface Stat {
    mode: number
    uid: number
    gid: number
    size: number
    nlink: number
    ino: number
    dev: number
    rdev: number
    blksize: number
    blocks: number
    atime: number
    mtime: number
    ctime: number
  }

  /** Every number has 32 bits. */
  export interface StatFs {
    bsize: number
    frsize: number
    blocks: number
    bfree: number
    bavail: number
    files: number
    ffree: number
    favail: number
    namemax: number
  }

  export interface Handlers {
    access(path: string, mode: number, done: Done): void
    statfs(path: string, give: Give<StatFs>): void
    getattr(path: string, give: Give<Stat>): void
    fgetattr(path: string, fd: number, give: Give<Stat>): void
    flush(path: string, fd: number, done: Done): void
    fsync(path: string, datasync: number, fd: number, done: Done): void
    fsyncdir(path: string, datasync: number, fd: number, done: Done): void
    /** Of `stats`, one for each name, `ino` and the type in `mode` count. */
    readdir(path: string, give: (error: number, names?: string[], stats?: Pick<Stat, 'ino' | 'mode'>[]) => void): void
    truncate(path: string, size: number, done: Done): void
    ftruncate(path: string, fd: number, size: number, done: Done): void
    /** The package gives the time of access twice. */
    utimens(path: string, atimeMs: number, mtimeMs: number, done: Done): void
    readlink(path: string, give: Give<string>): void
    chown(path: string, uid: number, gid: number, done: Done): void
    chmod(path: string, mode: number, done: Done): void
    mknod(path: string, mode: number, dev: number, done: Done): void
    open(path: string, flags: number, give: Give<number>): void
    opendir(path: string, flags: number, give: Give<number>): void
    /** Gives how many bytes it has put into `buffer`; there is no error but a negative count. */
    read(path: string, fd: number, buffer: Buffer, length: number, offset: number, give: Give<number>): void
    write(path: string, fd: number, buffer: Buffer, length: number, offset: number, give: Give<number>): void
    release(path: string, fd: number, done: Done): void
    releasedir(path: string, fd: number, done: Done): void
    create(path: string, mode: number, give: Give<number>): void
    unlink(path: string, done: Done): void
    rename(path: string, to: string, done: Done): void
    link(path: string, to: string, done: Done): void
    symlink(target: string, path: string, done: Done): void
    mkdir(path: string, mode: number, done: Done): void
    rmdir(path: string, done: Done): void
  }

  export interface Options {
    /** How long one operation may take; false: as long as it takes. */
    timeout?: number | false
    fsname?: string
    subtype?: string
    entryTimeout?: string
    attrTimeout?: string
  }

  export default class Fuse {
    constructor(dir: string, handlers: Handlers, options: Options)
    mount(done: (error: Error | null) => void): void
  }
}
