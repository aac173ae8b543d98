;; Imports what this host does not have: `wasi:nn/graph@0.2.0`.
;; group: load
;; refused: does_not_load
;; says: wasi:nn/graph@0.2.0
(component
  (import "wasi:nn/graph@0.2.0" (instance (export "load" (func))))
  (;memory;)
  (;skill;))
