import type { Caller } from '../../proto/generated/file-service.ts'
import { aclKind, aclPerm, digitOf, isPlain, type ModelAcl, readAcl, withPerm, writeAcl } from './model-acl.ts'
import { allocate, resize, seek } from './model-contents.ts'
import { mayFlags } from './model-flags.ts'
import { type Holder, needHold, takeHold, withHold } from './model-holds.ts'
import { legal, linksOf, type Node, no, type Type, typeBits } from './model-node.ts'
import type { Asking } from './model-sessions.ts'
import type { TreeOperation } from './tree-operation.ts'

type Values = { [K in TreeOperation['$case']]: Extract<TreeOperation, { $case: K }>['value'] }

/**
 * A file system as POSIX and Linux describe it, with no thought of speed: a tree of objects, links counted when asked
 * for. Written from the manuals and not from server/filesystem, so that each is a check on the other. Names, targets
 * and attributes are latin1 texts. Sizes stay below a million: it holds every byte.
 */
export class ModelFilesystem {
  readonly nodes = new Map<number, Node>()
  #next = 1
  #now = 0n
  #who: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }
  #holder: Holder = { session: 0n, mayHold: false }

  constructor() {
    const root = this.#make('dir', 0o755)
    root.parent = root
  }

  /** The answer, in a form that compares: text, numbers, arrays. Throws a Refusal. */
  run({ caller, session, now, mayHold = false }: Asking & { mayHold?: boolean }, op: TreeOperation): unknown {
    this.#who = caller
    this.#holder = { session, mayHold }
    this.#now = now
    const act: (value: never) => unknown = this.#acts[op.$case]
    return act(op.value as never)
  }

  /** Inodes without a name go. */
  reap(): void {
    for (const [ino, node] of this.nodes) if (this.#links(node) === 0) this.nodes.delete(ino)
  }

  stat(node: Node): unknown {
    const size = node.type === 'dir' ? 4096 : node.type === 'link' ? node.target.length : node.bytes.length
    const blocks = node.type === 'file' ? (Math.ceil(size / 4096) - node.holes.size) * 8 : node.type === 'dir' ? 8 : 0
    const { ino, uid, gid, rdev, atime, mtime, ctime, btime } = node
    const times = [atime, mtime, ctime, btime].map(String)
    return [ino, typeBits[node.type] + node.perm, this.#links(node), uid, gid, rdev, size, blocks, ...times].join(' ')
  }

  readonly #acts: { [K in keyof Values]: (value: Values[K]) => unknown } = {
    lookup: ({ parent, name }) => {
      const dir = this.#dir(parent)
      const text = legal(name)
      if (text === '.') return this.stat(dir)
      if (text === '..') return this.stat(this.nodes.get(dir.parent?.ino ?? 0) ?? no('ESTALE'))
      return this.stat(dir.children.get(text) ?? no('ENOENT'))
    },
    getattr: ({ ino }) => this.stat(this.#node(ino)),
    readlink: ({ ino }) => {
      const node = this.#node(ino)
      return node.type === 'link' ? node.target : no('EINVAL')
    },
    access: ({ ino, mask }) => {
      const node = this.#node(ino)
      if (mask > 7) no('EINVAL')
      this.#need(node, mask)
    },
    fsync: ({ ino }) => void this.#node(ino),
    statfs: () => this.nodes.size,
    mkdir: ({ parent, name, mode, umask }) => {
      const dir = this.#dirForNew(parent, name)
      return this.#enter(dir, name, this.#make('dir', mode & 0o1777, dir, { umask }))
    },
    symlink: ({ parent, name, target }) => {
      if (target.length === 0) no('ENOENT')
      if (target.length > 4095) no('ENAMETOOLONG')
      if (target.includes(0)) no('EINVAL')
      const dir = this.#dirForNew(parent, name)
      return this.#enter(dir, name, this.#make('link', 0o777, dir, { target: target.toString('latin1') }))
    },
    mknod: ({ parent, name, mode, umask, rdev }) => {
      const wanted = mode & 0o170000 || 0o100000
      if (wanted === typeBits.dir) no('EPERM')
      const type = (Object.keys(typeBits) as Type[]).find((key) => typeBits[key] === wanted && key !== 'link')
      if (type === undefined) return no('EINVAL')
      const dir = this.#dirForNew(parent, name)
      const device = type === 'char' || type === 'block'
      const whiteout = type === 'char' && rdev === 0
      if (device && !whiteout && this.#who.uid !== 0) no('EPERM')
      return this.#enter(dir, name, this.#make(type, mode & 0o7777, dir, { umask, rdev: device ? rdev : 0 }))
    },
    create: ({ parent, name, mode, umask, flags, take }) => {
      const dir = this.#dir(parent)
      const text = legal(name)
      if (text === '.' || text === '..') no('EISDIR')
      const found = dir.children.get(text)
      if (found === undefined) {
        if (dir.removed) no('ENOENT')
        this.#need(dir, 2)
        const node = this.#make('file', mode & 0o7777, dir, { umask })
        const hold = takeHold(node, take, this.#holder)
        return withHold(this.#enter(dir, name, node), hold)
      }
      if (flags & 0o200) no('EEXIST')
      if (found.type === 'dir') no('EISDIR')
      if (found.type !== 'file') no('ESTALE')
      return this.#open(found, flags, false)
    },
    open: ({ ino, flags, killPrivileges }) => this.#open(this.#node(ino), flags, killPrivileges),
    read: ({ ino, offset, length }) => {
      const { bytes } = this.#file(ino)
      return bytes
        .subarray(Math.min(Number(offset), bytes.length))
        .subarray(0, length)
        .toString('latin1')
    },
    write: ({ ino, offset, data, append, killPrivileges, hold, take, ageNs }) => {
      const node = this.#file(ino)
      const before = node.bytes.length
      needHold(node, hold, this.#holder)
      const { ctime } = node
      this.#write(node, append ? before : Number(offset), data, killPrivileges)
      if (data.length > 0 && ageNs !== undefined) {
        node.mtime = this.#now - ageNs
        node.ctime = node.mtime > ctime ? node.mtime : ctime
      }
      const taken = data.length > 0 ? takeHold(node, take, this.#holder) : undefined
      return withHold([data.length, append ? before : offset, node.bytes.length].join(' '), taken)
    },
    copyRange: ({ source, sourceOffset, ino, offset, length }) => {
      const from = this.#file(source)
      const to = this.#file(ino)
      const overlaps = offset < sourceOffset + length && sourceOffset < offset + length
      if (from === to && overlaps) no('EINVAL')
      const start = Math.min(Number(sourceOffset), from.bytes.length)
      const data = Buffer.from(from.bytes.subarray(start, start + Math.min(Number(length), 1 << 20)))
      if (data.length > 0) this.#write(to, Number(offset), data, false)
      return [data.length, offset, data.length > 0 ? to.bytes.length : 0].join(' ')
    },
    fallocate: (value) => {
      const node = this.#node(value.ino)
      allocate(node, value)
      this.#written(node, false)
      this.#touch(node, 'mtime', 'ctime')
    },
    lseek: ({ ino, offset, whence }) => String(seek(this.#node(ino), Number(offset), whence)),
    tmpfile: ({ parent, mode, umask, flags }) => {
      const dir = this.#dir(parent)
      if (dir.removed) no('ENOENT')
      this.#need(dir, 2)
      const node = this.#make('file', mode & 0o7777, dir, { umask })
      node.mayBeLinked = (flags & 0o200) === 0
      return this.stat(node)
    },
    link: ({ ino, parent, name }) => {
      const node = this.#node(ino)
      const dir = this.#dirForNew(parent, name)
      if (node.flags & 0x30 || node.type === 'dir') no('EPERM')
      if (this.#links(node) === 0 && !node.mayBeLinked) no('ENOENT')
      node.mayBeLinked = false
      this.#touch(node, 'ctime')
      return this.#enter(dir, name, node)
    },
    unlink: ({ parent, name }) => {
      const dir = this.#dir(parent)
      const text = legal(name)
      if (text === '.' || text === '..') no('EISDIR')
      const node = dir.children.get(text) ?? no('ENOENT')
      this.#mayRemove(dir, node)
      if (node.type === 'dir') no('EISDIR')
      this.#leave(dir, text)
    },
    rmdir: ({ parent, name }) => {
      const dir = this.#dir(parent)
      const text = legal(name)
      if (text === '.') no('EINVAL')
      if (text === '..') no('ENOTEMPTY')
      const node = dir.children.get(text) ?? no('ENOENT')
      this.#mayRemove(dir, node)
      if (node.type !== 'dir') no('ENOTDIR')
      if (node.children.size > 0) no('ENOTEMPTY')
      this.#leave(dir, text)
    },
    rename: (value) => this.#rename(value),
    setattr: (value) => this.#setattr(value),
    readdir: ({ ino }) => {
      const node = this.#node(ino)
      if (node.type !== 'dir') no('ENOTDIR')
      if (node.removed) no('ENOENT')
      const names = [...node.children].map(([name, child]) => `${name} ${child.ino} ${typeBits[child.type] >> 12}`)
      return [`. ${node.ino} 4`, `.. ${node.parent?.ino} 4`, ...names.sort()]
    },
    getxattr: ({ ino, name }) => {
      const node = this.#node(ino)
      const text = this.#xattr(node, name, 4)
      return node.xattrs.get(text) ?? no('ENODATA')
    },
    setxattr: ({ ino, name, value, flags }) => {
      const node = this.#node(ino)
      if (flags > 3) no('EINVAL')
      if (name.length < 1 || name.length > 255) no('ERANGE')
      if (value.length > 65536) no('E2BIG')
      const text = this.#xattr(node, name, 2)
      if (flags & 1 && node.xattrs.has(text)) no('EEXIST')
      if (flags & 2 && !node.xattrs.has(text)) no('ENODATA')
      if (node.xattrs.get(text) === value.toString('latin1')) return
      const kind = aclKind(text)
      if (kind === undefined) node.xattrs.set(text, value.toString('latin1'))
      else this.#giveAcl(node, kind, value)
      this.#touch(node, 'ctime')
    },
    removexattr: ({ ino, name }) => {
      const node = this.#node(ino)
      const text = this.#xattr(node, name, 2)
      const kind = aclKind(text)
      if (kind !== undefined && !node.xattrs.has(text)) return
      if (kind !== undefined) this.#setAcl(node, kind, undefined)
      else if (!node.xattrs.delete(text)) no('ENODATA')
      this.#touch(node, 'ctime')
    },
    listxattr: ({ ino }) =>
      [...this.#node(ino).xattrs.keys()].filter((name) => this.#who.uid === 0 || !name.startsWith('trusted.')),
  }

  #node = (ino: bigint): Node => this.nodes.get(Number(ino)) ?? no('ESTALE')

  #file(ino: bigint): Node {
    const node = this.#node(ino)
    if (node.type === 'dir') no('EISDIR')
    return node.type === 'file' ? node : no('EINVAL')
  }

  /** A directory that the caller may search. */
  #dir(ino: bigint): Node {
    const node = this.#node(ino)
    if (node.type !== 'dir') no('ENOTDIR')
    this.#need(node, 1)
    return node
  }

  #dirForNew(parent: bigint, name: Buffer): Node {
    const dir = this.#dir(parent)
    const text = legal(name)
    if (text === '.' || text === '..' || dir.children.has(text)) no('EEXIST')
    if (dir.removed) no('ENOENT')
    this.#need(dir, 2)
    return dir
  }

  #links = (node: Node): number => linksOf(node, this.nodes.values())

  #make(type: Type, perm: number, dir?: Node, { umask = 0, rdev = 0, target = '' } = {}): Node {
    const inherits = dir !== undefined && (dir.perm & 0o2000) !== 0
    const gid = inherits ? dir.gid : this.#who.gid
    const defaults = type === 'link' ? undefined : dir?.defaults
    const acl = defaults && withPerm(defaults, aclPerm(defaults) & perm)
    let bits = acl === undefined ? perm & ~umask : (perm & 0o7000) | aclPerm(acl)
    if (inherits && type === 'dir') bits |= 0o2000
    if (inherits && type !== 'dir' && (perm & 0o2010) === 0o2010 && !this.#member(gid)) bits &= ~0o2000
    const ino = this.#next++
    const times = { atime: this.#now, mtime: this.#now, ctime: this.#now, btime: this.#now }
    const owned = { ino, type, rdev, perm: bits, uid: this.#who.uid, gid, ...times }
    const empty = { children: new Map<string, Node>(), xattrs: new Map<string, string>(), holes: new Set<number>() }
    const states = { removed: false, flags: (dir?.flags ?? 0) & 0xc0, isInline: true, mayBeLinked: false }
    const node: Node = {
      ...owned,
      ...empty,
      ...states,
      bytes: Buffer.alloc(0),
      target,
      parent: type === 'dir' ? dir : undefined,
    }
    if (acl !== undefined) this.#setAcl(node, 'access', acl)
    if (type === 'dir' && defaults !== undefined) this.#setAcl(node, 'default', defaults)
    this.nodes.set(ino, node)
    return node
  }

  #write(node: Node, at: number, data: Buffer, kill: boolean): void {
    if (node.flags & 0x10) no('EPERM')
    if (data.length === 0) return
    if (at >= 17592186040320) no('EFBIG')
    const end = at + data.length
    resize(node, Math.max(node.bytes.length, end))
    data.copy(node.bytes, at)
    for (let block = Math.floor(at / 4096); block < Math.ceil(end / 4096); block++) node.holes.delete(block)
    this.#written(node, kill)
    this.#touch(node, 'mtime', 'ctime')
  }

  #enter(dir: Node, name: Buffer, node: Node): unknown {
    dir.children.set(name.toString('latin1'), node)
    this.#touch(dir, 'mtime', 'ctime')
    return this.stat(node)
  }

  #leave(dir: Node, name: string): void {
    const node = dir.children.get(name) ?? no('EIO')
    dir.children.delete(name)
    if (node.type === 'dir') node.removed = true
    this.#touch(dir, 'mtime', 'ctime')
    this.#touch(node, 'ctime')
  }

  #touch(node: Node, ...times: ('atime' | 'mtime' | 'ctime')[]): void {
    for (const time of times) node[time] = this.#now
  }

  /** In the group, or with the capability that root has. */
  #member = (gid: number): boolean => this.#who.uid === 0 || [this.#who.gid, ...this.#who.groups].includes(gid)
  #owns = (node: Node): boolean => this.#who.uid === 0 || this.#who.uid === node.uid

  /** `what`: a digit of a mode. */
  #may(node: Node, what: number): boolean {
    const [owner, group, others] = [6, 3, 0].map((shift) => (node.perm >> shift) & 7) as [number, number, number]
    if (this.#who.uid === 0) return !(what & 1) || node.type === 'dir' || ((owner | group | others) & 1) === 1
    if (this.#who.uid !== node.uid && node.acl !== undefined && group !== 0) {
      const { uid, gid, groups } = this.#who
      return (digitOf(node.acl, { uid, groups: [gid, ...groups] }, node.gid, what) & what) === what
    }
    const digit = this.#who.uid === node.uid ? owner : this.#member(node.gid) ? group : others
    return (digit & what) === what
  }

  #need(node: Node, what: number): void {
    if (what & 2 && node.flags & 0x10) no('EPERM')
    if (!this.#may(node, what)) no('EACCES')
  }

  #mayRemove(dir: Node, node: Node): void {
    this.#need(dir, 2)
    if (dir.flags & 0x20 || node.flags & 0x30) no('EPERM')
    if (dir.perm & 0o1000 && !this.#owns(dir) && !this.#owns(node)) no('EPERM')
  }

  /** Capabilities go, and from all but root the rest. */
  #written(node: Node, kill: boolean): void {
    node.xattrs.delete('security.capability')
    if (kill || this.#who.uid !== 0) this.#dropPrivileges(node)
  }

  #giveAcl(node: Node, kind: 'access' | 'default', value: Buffer): void {
    const acl = readAcl(value)
    if (typeof acl === 'string') return no(acl)
    if (kind === 'default' && acl !== undefined && node.type !== 'dir') no('EACCES')
    this.#setAcl(node, kind, acl)
    if (kind === 'default' || acl === undefined) return
    node.perm = (node.perm & (this.#member(node.gid) ? 0o7000 : 0o5000)) | aclPerm(acl)
  }

  #setAcl(node: Node, kind: 'access' | 'default', acl: ModelAcl | undefined): void {
    const kept = acl === undefined || (kind === 'access' && isPlain(acl)) ? undefined : acl
    if (kind === 'access') node.acl = kept
    else node.defaults = kept
    if (kept === undefined) node.xattrs.delete(`system.posix_acl_${kind}`)
    else node.xattrs.set(`system.posix_acl_${kind}`, writeAcl(kept))
  }

  /** set-uid goes; set-gid goes from an executable, or if the caller is not of the group. */
  #dropPrivileges(node: Node): void {
    node.perm &= ~0o4000
    if (node.perm & 0o0010 || !this.#member(node.gid)) node.perm &= ~0o2000
  }

  #open(node: Node, flags: number, kill: boolean): unknown {
    const truncates = (flags & 0o1000) !== 0
    const what = flags & 0o40 ? 1 : ([4, 2, 6, 6][flags & 3] ?? 0) | (truncates ? 2 : 0)
    if (node.type === 'link') no('ELOOP')
    if (node.type === 'dir' && what & 2) no('EISDIR')
    this.#need(node, what)
    if (node.flags & 0x20 && (truncates || (what & 2 && !(flags & 0o2000)))) no('EPERM')
    if (flags & 0o1000000 && !this.#owns(node)) no('EPERM')
    if (truncates && node.type === 'file') {
      resize(node, 0)
      this.#written(node, kill)
      this.#touch(node, 'mtime', 'ctime')
    }
    return this.stat(node)
  }

  #within(node: Node | undefined, above: Node): boolean {
    for (let at = node; at !== undefined; at = at.parent === at ? undefined : at.parent) if (at === above) return true
    return false
  }

  #rename({ parent, name, newParent, newName, flags }: Values['rename']): void {
    if (![0, 1, 2, 4, 5].includes(flags)) no('EINVAL')
    const [a, b] = [this.#dir(parent), this.#dir(newParent)]
    const texts = [name, newName].map((one) => one.toString('latin1'))
    if (texts.some((one) => one === '.' || one === '..')) no('EBUSY')
    const from = legal(name)
    const node = a.children.get(from) ?? no('ENOENT')
    const to = legal(newName)
    const other = b.children.get(to)
    if (b.removed) no('ENOENT')
    if (flags & 1 && other !== undefined) no('EEXIST')
    if (flags === 2 && other === undefined) no('ENOENT')
    if (a !== b && this.#within(b, node)) no('EINVAL')
    if (a !== b && other !== undefined && this.#within(a, other)) no(flags === 2 ? 'EINVAL' : 'ENOTEMPTY')
    if (node === other) return
    this.#mayRemove(a, node)
    if (other === undefined) this.#need(b, 2)
    else this.#mayRemove(b, other)
    if (other !== undefined && flags !== 2) {
      if (node.type === 'dir' && other.type !== 'dir') no('ENOTDIR')
      if (node.type !== 'dir' && other.type === 'dir') no('EISDIR')
    }
    if (a !== b && node.type === 'dir') this.#need(node, 2)
    if (a !== b && flags === 2 && other?.type === 'dir') this.#need(other, 2)
    if (flags !== 2 && other !== undefined && other.children.size > 0) no('ENOTEMPTY')

    if (flags === 2 && other !== undefined) {
      a.children.set(from, other)
      if (other.type === 'dir') other.parent = a
    } else {
      a.children.delete(from)
      if (other?.type === 'dir') other.removed = true
    }
    b.children.set(to, node)
    if (node.type === 'dir') node.parent = b
    if (other !== undefined) this.#touch(other, 'ctime')
    this.#touch(node, 'ctime')
    for (const dir of [a, b]) this.#touch(dir, 'mtime', 'ctime')
    if (flags & 4) this.#enter(a, name, this.#make('char', 0, a))
  }

  #setattr(op: Values['setattr']): unknown {
    const node = this.#node(op.ino)
    const root = this.#who.uid === 0
    const mine = this.#who.uid === node.uid
    mayFlags(node, op, { owns: this.#owns(node), root })
    if (op.size !== undefined) {
      if (node.type === 'dir') no('EISDIR')
      if (node.type !== 'file') no('EINVAL')
      if (!op.openForWriting) this.#need(node, 2)
      if (op.size > 17592186040320n) no('EFBIG')
    }
    if (op.uid !== undefined && !root && !(mine && op.uid === node.uid)) no('EPERM')
    if (op.gid !== undefined && !root && !(mine && (op.gid === node.gid || this.#member(op.gid)))) no('EPERM')
    if (op.mode !== undefined && !root && !mine) no('EPERM')
    this.#mayTime(node, op)

    const before = node.perm
    const chowns = op.uid !== undefined || op.gid !== undefined
    const caps = node.xattrs.has('security.capability')
    if (node.type !== 'dir' && (chowns || op.killPrivileges || op.size !== undefined)) {
      node.xattrs.delete('security.capability')
    }
    const lost = caps && !node.xattrs.has('security.capability')
    if (op.mode !== undefined && node.acl !== undefined) this.#setAcl(node, 'access', withPerm(node.acl, op.mode))
    if (op.mode !== undefined) node.perm = op.mode & (this.#member(op.gid ?? node.gid) ? 0o7777 : 0o5777)
    else if (node.type !== 'dir' && (chowns || op.killPrivileges || (op.size !== undefined && !root))) {
      this.#dropPrivileges(node)
    }
    if (op.uid !== undefined) node.uid = op.uid
    if (op.gid !== undefined) node.gid = op.gid
    if (op.size !== undefined) resize(node, Number(op.size))
    if (op.flags !== undefined) node.flags = op.flags
    if (op.size !== undefined) this.#touch(node, 'mtime')
    if (op.atime !== undefined) node.atime = op.atime.now ? this.#now : op.atime.ns
    if (op.mtime !== undefined) node.mtime = op.mtime.now ? this.#now : op.mtime.ns
    const given = [op.flags, op.mode, op.uid, op.gid, op.size, op.atime, op.mtime].some((field) => field !== undefined)
    if (given || lost || node.perm !== before) this.#touch(node, 'ctime')
    return this.stat(node)
  }

  #mayTime(node: Node, { atime, mtime, size }: Values['setattr']): void {
    if (this.#owns(node) || (atime === undefined && mtime === undefined)) return
    if (size !== undefined && atime === undefined && mtime?.now) return
    if (atime?.now && mtime?.now) this.#need(node, 2)
    else no('EPERM')
  }

  #xattr(node: Node, name: Buffer, what: 2 | 4): string {
    const text = name.toString('latin1')
    const wrong = what === 2 ? 'EPERM' : 'ENODATA'
    if (text.length < 1 || text.length > 255) no('ERANGE')
    if (what === 2 && node.flags & 0x30) no('EPERM')
    if (aclKind(text) !== undefined) {
      if (node.type === 'link') no('EOPNOTSUPP')
      if (what === 2 && !this.#owns(node)) no('EPERM')
      return text
    }
    const [space] = /^(user|trusted|security)[.]/.exec(text) ?? no('EOPNOTSUPP')
    if (this.#who.uid !== 0 && (space === 'trusted.' || (space === 'security.' && what === 2))) no(wrong)
    if (space === 'user.') {
      if (node.type !== 'file' && node.type !== 'dir') no(wrong)
      if (what === 2 && node.type === 'dir' && node.perm & 0o1000 && !this.#owns(node)) no('EPERM')
      this.#need(node, what)
    }
    return text === space ? no('EINVAL') : text
  }
}
