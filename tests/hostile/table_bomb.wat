;; Makes a table larger until it is given no more, and gives up.
;; group: room
;; fails: trap
;; says: limits.table_elements
(component
  (;memory;)
  (core module $m
    (table $t 1 funcref)
    (func (export "run") (param i32 i32) (result i32)
      (loop $again
        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
      unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
