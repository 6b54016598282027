const bytesMax = 1024
const nameBytesMax = 255

/** A place in the tree, from its root: `/`, or names with `/` before each, none of them `.` or `..`. */
export function isTreePath(path: string): boolean {
  if (path === '/') return true
  const [first, ...names] = path.split('/')
  if (first !== '' || names.length === 0 || Buffer.byteLength(path) > bytesMax) return false
  return names.every(
    (name) =>
      name !== '' && name !== '.' && name !== '..' && !name.includes('\0') && Buffer.byteLength(name) <= nameBytesMax,
  )
}
