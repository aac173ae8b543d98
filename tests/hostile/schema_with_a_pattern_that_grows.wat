;; Has an input schema with a pattern that would fill the memory.
;; group: describe
;; refused: bad_description
;; says: schema
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\2f\00\00\00")
    (data (i32.const 9000) "{\22pattern\22:\22((((a{1000}){1000}){1000}){1000})\22}"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
