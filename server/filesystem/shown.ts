import type { Attributes } from '../../proto/generated/file-service.ts'
import { xattrsKey } from '../store/keys.ts'
import type { Inode } from '../store/records.ts'
import { attributes } from './inode.ts'
import type { View } from './view.ts'

/** The same as `attributes`, and whether it has extended attributes: kernels ask after ACLs of nearly every file. */
export const shown = (view: View, ino: bigint, inode: Inode): Attributes => ({
  ...attributes(ino, inode),
  bare: view.get(xattrsKey(ino)) === undefined || undefined,
})
