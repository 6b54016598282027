import { type Inode, typeDirectory, typeRegular } from '../store/records.ts'

/** Bits of st_mode and of access(2). Source: include/uapi/linux/stat.h, fs.h. */
export const setUid = 0o4000
export const setGid = 0o2000
export const stickyBit = 0o1000
export const permissionBits = 0o7777
export const groupBits = 0o070
export const groupExecute = 0o010

export const mayRead = 4
export const mayWrite = 2
export const mayExecute = 1

/** One of the `type...` numbers of records.ts. */
export const typeOf = (inode: Inode): number => inode.mode >>> 12
export const isDirectory = (inode: Inode): boolean => typeOf(inode) === typeDirectory
export const isRegular = (inode: Inode): boolean => typeOf(inode) === typeRegular

export const modeOf = (type: number, bits: number): number => (type << 12) | (bits & permissionBits)
