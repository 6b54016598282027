import type { Attributes } from '../proto/generated/file-service.ts'

/** S_IFMT of Linux, and what stands under it. Source: include/uapi/linux/stat.h. */
const typeMask = 0o170000
export const fileTypes = { file: 0o100000, directory: 0o040000, symlink: 0o120000 } as const

export const isOfType = ({ mode }: Pick<Attributes, 'mode'>, type: keyof typeof fileTypes): boolean =>
  (mode & typeMask) === fileTypes[type]
