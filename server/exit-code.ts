/** A server's process ends so when its disk took no more: started again once there is room, it is what it was. */
export const diskFullExit = 75 // EX_TEMPFAIL of sysexits.h
