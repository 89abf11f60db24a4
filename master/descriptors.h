/* The descriptors of this process and its children. */
#ifndef MSGSERVER_MASTER_DESCRIPTORS_H
#define MSGSERVER_MASTER_DESCRIPTORS_H

/* Raises the soft limit of open files to the hard one, for this process and its children. */
void descriptors_raise_limit(void);

/* Makes sure that 0, 1 and 2 are open, so that no socket of ours takes their place. */
void descriptors_reserve_standard(void);

#endif
