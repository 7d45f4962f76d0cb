import sys,pickle,time,numpy as np
sys.path.insert(0,"/work/shared/bench")
from caiman_pipeline.sessions import probability as pr, tracks
from scoresessions import score
D=pickle.load(open("/tmp/w/scratch-sessions/L.pkl","rb"))
for f,(ids,n,L) in D.items():
    t0=time.process_time(); O=pr.log_odds(L,n); t1=time.process_time()
    lab=tracks.assign(L,O.beside,n); t2=time.process_time()
    print(f,round(t1-t0,2),round(t2-t1,2),score(dict(ids=np.concatenate(ids),n=np.array(n)),dict(labels=lab)))
