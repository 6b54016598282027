/** Two names with one hash, found by search: 53 bits, so that it took a hundred million tries. */
export const collidingNames = ['KJZGB_nXA', 'j7NUdWdRj'] as const
