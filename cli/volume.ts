/** The one volume of a cluster, until there are more. */
export const volumeName = 'main'
