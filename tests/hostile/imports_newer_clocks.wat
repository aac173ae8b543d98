;; Imports what this host does not have: `wasi:clocks/wall-clock@0.3.0`.
;; group: load
;; refused: does_not_load
;; says: wasi:clocks/wall-clock@0.3.0
(component
  (import "wasi:clocks/wall-clock@0.3.0" (instance (export "now" (func))))
  (;memory;)
  (;skill;))
