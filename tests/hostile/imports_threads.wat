;; Imports what this host does not have: `wasi:threads/threads@0.2.0`.
;; group: load
;; refused: does_not_load
;; says: wasi:threads/threads@0.2.0
(component
  (import "wasi:threads/threads@0.2.0" (instance (export "spawn" (func))))
  (;memory;)
  (;skill;))
