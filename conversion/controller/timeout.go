package controller

import "time"

// writeTimeout is how long a reconcile may take, which reads and writes a few objects; the apiserver asks admission webhooks of up to 30
// seconds for a write. Without it a lost answer would hold up all others for good.
const writeTimeout = 70 * time.Second
